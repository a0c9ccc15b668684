package podhost

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDu(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	before := du(dir)
	if err := os.WriteFile(filepath.Join(sub, "f"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(sub, "f"), filepath.Join(dir, "same")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	got := du(dir)
	if n := got.Bytes - before.Bytes; n < 1<<20 || n > 1<<20+64<<10 {
		t.Errorf("a file of 1 MiB with two names takes %d bytes", n)
	}
	if n := got.Inodes - before.Inodes; n != 2 {
		t.Errorf("a file with two names and a link take %d inodes", n)
	}
	if none := du(filepath.Join(dir, "none")); none.Bytes != 0 || none.Inodes != 0 {
		t.Errorf("what is not there takes %+v", none)
	}
}
