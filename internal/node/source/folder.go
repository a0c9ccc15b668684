package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sampan.dev/internal/inotify"
)

// manifestFiles lists the files of a folder that are not hidden, or is the single file. What is not there holds nothing.
func manifestFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, filepath.Join(path, e.Name()))
		}
	}
	return out, nil
}

// watchFolder calls look at once and after every change of a folder or file. It returns an error when that can no longer be
// watched, or ctx has ended.
func watchFolder(ctx context.Context, path string, look func()) error {
	w, err := inotify.Open(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Add(path, inotify.Changed); err != nil {
		return err
	}
	for {
		look()
		if _, err := w.Next(time.Time{}); err != nil {
			return err
		}
	}
}
