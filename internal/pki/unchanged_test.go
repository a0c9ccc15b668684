package pki

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWriteFileLeavesAlone writes what is there already into a directory that takes nothing new, as a full disk does.
func TestWriteFileLeavesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	inode := func() os.FileInfo {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	if err := WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := inode()
	if err := WriteFile(path, []byte("one"), 0o600); err != nil || !os.SameFile(before, inode()) {
		t.Errorf("the same content was written again: %v", err)
	}
	for _, c := range []struct {
		data string
		mode os.FileMode
	}{{"two", 0o600}, {"two", 0o644}, {"twos", 0o644}} {
		before := inode()
		if err := WriteFile(path, []byte(c.data), c.mode); err != nil || os.SameFile(before, inode()) || inode().Mode() != c.mode {
			t.Errorf("%q with mode %v was not written: %v", c.data, c.mode, err)
		}
	}
}
