package manifests

import (
	"context"
	"errors"
	"os"
	"time"

	"sampan.dev/internal/inotify"

	"golang.org/x/sys/unix"
)

// settle is how long a folder has to be left alone before it is read: editors and copies write in several steps. Where somebody writes
// all the time it is read all the same, after restless.
const (
	settle   = 100 * time.Millisecond
	restless = 5 * time.Second
)

// folders watches folders. One goroutine uses it.
type folders struct{ watch *inotify.Watch }

var _ watcher = folders{}

func watchFolders(ctx context.Context) (folders, error) {
	w, err := inotify.Open(ctx)
	return folders{w}, err
}

func (f folders) add(folder string) error {
	err := f.watch.Add(folder, inotify.Changed|unix.IN_MOVE_SELF)
	if errors.Is(err, unix.ENOENT) {
		return nil // gone meanwhile
	}
	return err
}

func (f folders) wait(d time.Duration) error {
	var until time.Time // none
	if d > 0 {
		until = time.Now().Add(d)
	}
	var last time.Time // when it is read at the latest, once something has changed
	for {
		if _, err := f.watch.Next(until); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
		if last.IsZero() {
			last = time.Now().Add(restless)
		}
		if until = time.Now().Add(settle); until.After(last) {
			return nil
		}
	}
}
