package pki

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A pool follows its file; what cannot be used changes nothing.
func TestPoolFile(t *testing.T) {
	one, err := NewAuthority("one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := NewAuthority("two")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.crt")
	write := func(data []byte, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	write(one.PEM(), now)
	f, err := OpenPool(path)
	if err != nil {
		t.Fatal(err)
	}
	look := func() { f.mu.looked = time.Time{} }
	first := f.Pool()
	if !first.Equal(one.Pool()) {
		t.Error("it is not what the file has")
	}
	write([]byte("nothing"), now.Add(time.Second))
	if look(); f.Pool() != first {
		t.Error("a file that cannot be used is used")
	}
	write(two.PEM(), now.Add(2*time.Second))
	if f.Pool() != first {
		t.Error("it looks more often than it has to")
	}
	if look(); !f.Pool().Equal(two.Pool()) {
		t.Error("it does not follow the file")
	}
	if string(f.PEM()) != string(one.PEM()) {
		t.Error("what it was opened with has changed")
	}
}
