package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// followRuns copies a log while its container runs. The runtime closes the log when the container ends, which is the
// moment to ask whether it still runs; the runtime may know a little later than the file system, so ask again for a while.
// Rotation closes a log too, and makes a new one under the old name.
func (l *logReader) followRuns(ctx context.Context) error {
	wait := lull
	for {
		if err := l.drain(); err != nil {
			return err
		}
		going, err := l.running()
		if err != nil {
			return err
		}
		if !going {
			if err := l.drain(); err != nil { // what was written between looking and asking
				return err
			}
			return l.reopen(false)
		}
		what, err := l.watch.next(ctx, wait)
		if err != nil {
			return err
		}
		switch {
		case what.created:
			if err := l.reopen(true); err != nil {
				return err
			}
			wait = lull
		case what.closed:
			wait = 20 * time.Millisecond
		case what.wrote:
			wait = lull
		default: // nothing happened
			wait = min(2*wait, lull)
		}
	}
}

// lull is how long a silent log is believed to be only silent. Events tell everything but an end that came just before
// the watch began.
const lull = 10 * time.Second

// reopen goes on in the new file after a rotation: first the rest of the old one, then the new one from its beginning.
// With must unset the file may be the same as before, or gone.
func (l *logReader) reopen(must bool) error {
	f, err := os.Open(l.path)
	if err != nil {
		if !must || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	old, err1 := l.f.Stat()
	now, err2 := f.Stat()
	if err := errors.Join(err1, err2); err != nil || os.SameFile(old, now) {
		f.Close()
		return err
	}
	if err := l.drain(); err != nil {
		f.Close()
		return err
	}
	l.f.Close()
	l.f, l.pending = f, l.pending[:0]
	l.buf.Reset(f)
	return l.drain()
}

// dirWatch tells what happens to one file, by watching the directory it is in (the file itself changes with rotation).
type dirWatch struct {
	f    *os.File
	name string
	buf  [4096]byte
}

// happened is what was seen of the file.
type happened struct{ wrote, closed, created bool }

func watchDir(path string) (*dirWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	const what = unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_MOVED_TO
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), what); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch %s: %w", filepath.Dir(path), err)
	}
	return &dirWatch{f: os.NewFile(uintptr(fd), "inotify"), name: filepath.Base(path)}, nil
}

func (d *dirWatch) close() { d.f.Close() }

// next waits for events of the file, at most for wait, and returns them together.
func (d *dirWatch) next(ctx context.Context, wait time.Duration) (happened, error) {
	if err := d.f.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return happened{}, err
	}
	defer context.AfterFunc(ctx, func() { _ = d.f.SetReadDeadline(time.Unix(1, 0)) })()
	for {
		if err := ctx.Err(); err != nil {
			return happened{}, err
		}
		n, err := d.f.Read(d.buf[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return happened{}, ctx.Err()
		}
		if err != nil {
			return happened{}, err
		}
		if h := d.parse(d.buf[:n]); h != (happened{}) {
			return h, nil
		}
	}
}

func (d *dirWatch) parse(b []byte) (h happened) {
	for len(b) >= unix.SizeofInotifyEvent {
		ev := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
		end := unix.SizeofInotifyEvent + int(ev.Len)
		name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:end], "\x00"))
		b = b[end:]
		if ev.Mask&unix.IN_Q_OVERFLOW != 0 {
			return happened{true, true, true}
		}
		// A log that was renamed is written on under its new name for a moment.
		h.wrote = h.wrote || ev.Mask&unix.IN_MODIFY != 0
		h.closed = h.closed || ev.Mask&unix.IN_CLOSE_WRITE != 0
		h.created = h.created || name == d.name && ev.Mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0
	}
	return h
}
