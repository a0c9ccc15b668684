package etcd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// rewrite writes once more what a failed member may have left in memory only. After a failed fsync the kernel takes the pages
// for written: whoever reads them sees what the disk does not have, and a member that goes on from there would lose it with
// the next loss of power. The log is copied, so that all of it is written anew and to another place of the disk; where there is
// no room for that it is written over itself, which changes nothing of it. Of the database it is the two pages that say where
// its newest state begins, since everything below them has been synced before them. Files that the member made for later writes
// are removed.
func rewrite(dir string, room bool) error {
	// Nobody but the member that has failed knows what it made for later.
	made, err := filepath.Glob(filepath.Join(dir, "member/wal/*.tmp"))
	if err != nil {
		return err
	}
	for _, path := range made {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	logs, err := filepath.Glob(filepath.Join(dir, "member/wal/*.wal"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		again := copyOver
		if !room {
			again = overwrite
		}
		if err := again(path); err != nil {
			return fmt.Errorf("write %s anew: %w", path, err)
		}
	}
	path := filepath.Join(dir, "member/snap/db")
	if err := overwriteBytes(path, int64(2*os.Getpagesize())); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

// overwrite writes all of a file over itself and syncs it.
func overwrite(path string) error { return overwriteBytes(path, math.MaxInt64) }

// overwriteBytes is overwrite of the first bytes of a file.
func overwriteBytes(path string, n int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	part := make([]byte, min(n, 1<<20))
	for at := int64(0); at < n; {
		read, err := f.ReadAt(part[:min(int64(len(part)), n-at)], at)
		if read == 0 && errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := f.WriteAt(part[:read], at); err != nil {
			return err
		}
		at += int64(read)
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
