package inotify

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What Add is told to look for, see inotify(7).
const (
	// Replaced: a file has been written and closed, or another was put in its place.
	Replaced = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO
	// Changed: the above, and files and folders that come or go, the watched folder itself among them.
	Changed = Replaced | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CREATE | unix.IN_DELETE_SELF
)

// Watch is told of changes in folders. One goroutine uses it.
type Watch struct {
	fd   int
	file *os.File // non-blocking: reads go through the runtime's poller, and closing it ends them
	stop func() bool
	buf  [16 << 10]byte
}

// Open makes a watch of nothing yet. When ctx ends, Next returns an error.
func Open(ctx context.Context) (*Watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w := &Watch{fd: fd, file: os.NewFile(uintptr(fd), "inotify")}
	w.stop = context.AfterFunc(ctx, func() { w.file.Close() })
	return w, nil
}

// Close gives the descriptor back.
func (w *Watch) Close() {
	w.stop()
	w.file.Close()
}

// Add has a folder or file watched too. One that is watched already stays so.
func (w *Watch) Add(path string, mask uint32) error {
	if _, err := unix.InotifyAddWatch(w.fd, path, mask); err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	return nil
}

// Next waits until something has changed, at most until a time (zero: without an end), whose passing is os.ErrDeadlineExceeded.
func (w *Watch) Next(until time.Time) (Events, error) {
	if err := w.file.SetReadDeadline(until); err != nil {
		return "", err
	}
	n, err := w.file.Read(w.buf[:])
	return Events(w.buf[:max(n, 0)]), err
}

// Events are what has changed, as the kernel tells it.
type Events string

// Name reports whether a file of that name has changed.
func (e Events) Name(name string) bool { return strings.Contains(string(e), name+"\x00") }
