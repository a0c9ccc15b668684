package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Query is what somebody wants to see.
type Query struct {
	Part   string    // "" is all
	Since  time.Time // zero is all
	Follow bool      // go on until the context ends
}

// NoSuchPart is the error when no line is of the part that was asked for.
type NoSuchPart struct {
	Part string
	Has  []string // parts that have said something
}

func (e NoSuchPart) Error() string {
	return fmt.Sprintf("the log has nothing of a part %q; it has %v", e.Part, e.Has)
}

// filter passes on the lines that a query asks for.
type filter struct {
	Query
	out   io.Writer
	last  bool            // whether the last record was passed on: what is none goes with it
	shown int             // lines
	seen  map[string]bool // parts
}

func (f *filter) line(line []byte) error {
	r := parse(string(bytes.TrimSuffix(line, []byte("\n"))))
	if r.ok {
		for _, name := range []string{r.part, r.of} {
			if name != "" {
				f.seen[name] = true
			}
		}
		f.last = (f.Part == "" || r.concerns(f.Part)) && !r.at.Before(f.Since)
	}
	if !f.last {
		return nil
	}
	f.shown++
	_, err := f.out.Write(line)
	return err
}

// Copy writes the lines of a log, with those of the files that it was turned over to (FILE.1 is the youngest), as q asks for.
func Copy(ctx context.Context, out io.Writer, path string, q Query) error {
	f := &filter{Query: q, out: out, last: q.Part == "" && q.Since.IsZero(), seen: map[string]bool{}}
	for n := 9; n >= 1; n-- {
		if err := f.file(fmt.Sprintf("%s.%d", path, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if q.Follow {
		return f.follow(ctx, path)
	}
	if err := f.file(path); err != nil {
		return err
	}
	if q.Part != "" && f.shown == 0 && q.Since.IsZero() && !f.knows() {
		return NoSuchPart{q.Part, slices.Sorted(maps.Keys(f.seen))}
	}
	return nil
}

func (f *filter) knows() bool {
	for name := range f.seen {
		if (record{part: name}).concerns(f.Part) {
			return true
		}
	}
	return false
}

func (f *filter) file(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = f.rest(bufio.NewReaderSize(file, 64<<10), nil)
	return err
}

// rest passes on what r has, and returns a last line that has no end yet.
func (f *filter) rest(r *bufio.Reader, begun []byte) (open []byte, err error) {
	for {
		line, err := r.ReadBytes('\n')
		begun = append(begun, line...)
		if err == io.EOF {
			if !f.Follow && len(begun) > 0 {
				return nil, f.line(append(begun, '\n'))
			}
			return begun, nil
		}
		if err != nil {
			return nil, err
		}
		if err := f.line(begun); err != nil {
			return nil, err
		}
		begun = begun[:0]
	}
}

// follow passes on what the file has and what is added to it, also when it is turned over, until ctx ends.
func (f *filter) follow(ctx context.Context, path string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("follow %s: inotify: %w", path, err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	const mask = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), mask); err != nil {
		return fmt.Errorf("follow %s: %w", path, err)
	}
	stop := context.AfterFunc(ctx, func() { events.Close() })
	defer stop()
	buf := make([]byte, 16<<10)
	var file *os.File
	defer func() { file.Close() }() // a nil file says that it is one
	var r *bufio.Reader
	var open []byte
	for {
		if r != nil {
			if open, err = f.rest(r, open); err != nil {
				return err
			}
		}
		if now, err := os.Open(path); err == nil {
			if file == nil || !same(file, now) {
				file.Close()
				file, r, open = now, bufio.NewReaderSize(now, 64<<10), nil
				continue
			}
			now.Close()
		}
		if _, err := events.Read(buf); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("follow %s: %w", path, err)
		}
	}
}

func same(a, b *os.File) bool {
	x, errX := a.Stat()
	y, errY := b.Stat()
	return errX == nil && errY == nil && os.SameFile(x, y)
}
