package inotify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	dir := t.TempDir()
	if err := w.Add(filepath.Join(dir, "none"), Changed); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := w.Add(dir, Replaced); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Next(time.Now().Add(-time.Second)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nothing has changed: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := w.Next(time.Time{})
	if err != nil || !e.Name("a.yaml") || e.Name("b.yaml") {
		t.Errorf("%q %v", e, err)
	}
	cancel()
	if _, err := w.Next(time.Time{}); err == nil {
		t.Error("the end of the context ended nothing")
	}
}
