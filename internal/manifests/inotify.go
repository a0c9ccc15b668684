package manifests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// settle is how long a folder has to be left alone before it is read: editors and copies write in several steps.
const settle = 100 * time.Millisecond

// inotify watches folders. One goroutine uses it.
type inotify struct {
	fd   int
	file *os.File // non-blocking: reads go through the runtime's poller, and closing it ends them
	stop func() bool
}

var _ watcher = (*inotify)(nil)

func newInotify(ctx context.Context) (*inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	n := &inotify{fd: fd, file: os.NewFile(uintptr(fd), "inotify")}
	n.stop = context.AfterFunc(ctx, func() { n.file.Close() })
	return n, nil
}

func (n *inotify) close() {
	n.stop()
	n.file.Close()
}

func (n *inotify) add(folder string) error {
	const mask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CREATE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	if _, err := unix.InotifyAddWatch(n.fd, folder, mask); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("watch %s: %w", folder, err)
	}
	return nil
}

func (n *inotify) wait(d time.Duration) error {
	var until time.Time // none
	if d > 0 {
		until = time.Now().Add(d)
	}
	buf := make([]byte, 4096)
	for {
		if err := n.file.SetReadDeadline(until); err != nil {
			return err
		}
		_, err := n.file.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		until = time.Now().Add(settle)
	}
}
