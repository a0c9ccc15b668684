package etcd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// rewrite writes once more what a failed member may have left in memory only. After a failed fsync the kernel takes the pages
// for written: whoever reads them sees what the disk does not have, and a member that goes on from there would lose it with
// the next loss of power. The log is copied, so that all of it is written anew; of the database it is the two pages that say
// where its newest state begins, since everything below them has been synced before them.
func rewrite(dir string) error {
	logs, err := filepath.Glob(filepath.Join(dir, "member/wal/*.wal"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		if err := copyOver(path); err != nil {
			return fmt.Errorf("write %s anew: %w", path, err)
		}
	}
	path := filepath.Join(dir, "member/snap/db")
	if err := rewriteStart(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write the beginning of %s anew: %w", path, err)
	}
	return nil
}

// copyOver puts a synced copy in the place of a file.
func copyOver(path string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	copied := path + ".copy" // no name that etcd looks for
	to, err := os.OpenFile(copied, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(copied)
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	if err := os.Rename(copied, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func rewriteStart(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	start := make([]byte, 2*os.Getpagesize())
	n, err := f.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := f.WriteAt(start[:n], 0); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
