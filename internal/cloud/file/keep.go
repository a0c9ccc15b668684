package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"sampan.dev/internal/inotify"
)

// load reads what was kept in a file; one that is not there holds nothing.
func load(path string, to any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// keep replaces a file, so that whoever reads it sees all of the old or all of the new.
func keep(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// watch calls look after each change of a file in a folder until ctx ends. The folder is watched, since editors and ConfigMaps put
// another file in the place of the old.
func watch(ctx context.Context, folder, name string, look func()) error {
	w, err := inotify.Open(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Add(folder, inotify.Replaced); err != nil {
		return err
	}
	for {
		changed, err := w.Next(time.Time{})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch %s: %w", folder, err)
		}
		// A ConfigMap's file is a link to ..data, which is what changes.
		if changed.Name(name) || changed.Name("..data") {
			look()
		}
	}
}
