package pki

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

// writeTree writes files into a new folder beside dir and renames it there. dir must not exist.
func writeTree(dir string, files map[string][]byte) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	// Left over from a crash; nobody ever saw it.
	if old, _ := filepath.Glob(dir + ".new-*"); len(old) > 0 {
		for _, o := range old {
			_ = os.RemoveAll(o)
		}
	}
	tmp, err := os.MkdirTemp(parent, filepath.Base(dir)+".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// The syncs run together, so that the journal commits them as one.
	var g errgroup.Group
	for name, data := range files {
		p := filepath.Join(tmp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			return err
		}
		g.Go(func() error { return writeSynced(p, data, modeOf(name)) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return syncDir(parent)
}

// writeFiles replaces single files of an existing store, each whole or not at all. A key goes first: a certificate whose
// key is newer does not match and is issued anew at the next start, which a key without its certificate would be too.
func writeFiles(dir string, files map[string][]byte) error {
	for _, suffix := range []string{".key", ".pub", ".crt"} {
		for name, data := range files {
			if !strings.HasSuffix(name, suffix) {
				continue
			}
			if err := WriteFile(filepath.Join(dir, filepath.FromSlash(name)), data, modeOf(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteFile replaces a file by rename, so that a reader and a crash see the old or the new content. One that is as it should be
// already is left alone: nothing need be written then, which matters where nothing can be.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if Unchanged(path, data, mode) {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-")
	if err != nil {
		return err
	}
	tmp := f.Name()
	f.Close()
	defer os.Remove(tmp)
	if err := writeSynced(tmp, data, mode); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(dir)
}

// Unchanged reports whether a file holds data and has mode.
func Unchanged(path string, data []byte, mode os.FileMode) bool {
	st, err := os.Lstat(path)
	if err != nil || st.Mode() != mode || st.Size() != int64(len(data)) {
		return false
	}
	have, err := os.ReadFile(path)
	return err == nil && bytes.Equal(have, data)
}

func writeSynced(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return f.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// modeOf is 0600 for every file: nobody but the owner has any business here, and public parts are served otherwise.
func modeOf(string) os.FileMode { return 0o600 }
