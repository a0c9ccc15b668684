package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// logReader reads a log in the CRI's format: "<time> <stdout|stderr> <P|F>[:…] <text>\n", where P marks a piece of a line
// that goes on.
type logReader struct {
	path    string
	opts    logOptions
	out     *flusher
	running func() (bool, error)

	f       *os.File
	buf     *bufio.Reader
	pending []byte // the beginning of an entry whose end is not written yet
	partial bool   // the last entry written was P
	left    int64  // of limitBytes, or negative
	watch   *dirWatch
}

var errLimit = errors.New("limit reached")

// open opens the log where reading is to begin. The watch, for followers, comes first, so that nothing is missed.
func (l *logReader) open() (err error) {
	l.left = l.opts.limit
	if l.opts.follow {
		if l.watch, err = watchDir(l.path); err != nil {
			return err
		}
	}
	if l.f, err = os.Open(l.path); err != nil {
		l.close()
		return err
	}
	if l.opts.tail >= 0 {
		at, err := tailStart(l.f, l.opts.tail)
		if err == nil {
			_, err = l.f.Seek(at, io.SeekStart)
		}
		if err != nil {
			l.close()
			return fmt.Errorf("failed to tail %d lines of log file %q: %w", l.opts.tail, l.path, err)
		}
	}
	l.buf = bufio.NewReaderSize(l.f, 32<<10)
	return nil
}

func (l *logReader) close() {
	if l.f != nil {
		l.f.Close()
	}
	if l.watch != nil {
		l.watch.close()
	}
}

// run copies the log until its end, or as long as the container runs when it is followed.
func (l *logReader) run(ctx context.Context) error {
	if l.opts.tail == 0 && !l.opts.follow {
		return nil
	}
	if !l.opts.follow {
		err := l.drain()
		if err == nil && len(l.pending) > 0 {
			err = l.entry(l.pending) // cut short, perhaps by a full disk
		}
		return done(err)
	}
	return done(l.followRuns(ctx))
}

func done(err error) error {
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

// drain copies whole entries up to the present end of the file.
func (l *logReader) drain() error {
	for {
		line, err := l.buf.ReadSlice('\n')
		if len(line) > 0 {
			l.pending = append(l.pending, line...)
		}
		switch {
		case err == nil:
			if e := l.entry(l.pending); e != nil {
				return e
			}
			l.pending = l.pending[:0]
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			l.out.Flush()
			return nil
		default:
			return err
		}
	}
}

// entry writes one entry, if it is asked for.
func (l *logReader) entry(line []byte) error {
	stamp, rest, ok1 := bytes.Cut(line, space)
	stream, rest, ok2 := bytes.Cut(rest, space)
	tag, text, ok3 := bytes.Cut(rest, space)
	if !ok1 || !ok2 || !ok3 {
		return nil // not an entry: somebody else wrote here
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return nil
	}
	isOut := string(stream) == "stdout"
	if isOut && !l.opts.stdout || !isOut && !l.opts.stderr || at.Before(l.opts.since) {
		return nil
	}
	begins := !l.partial
	tag, _, _ = bytes.Cut(tag, []byte(":"))
	if l.partial = string(tag) == "P"; l.partial {
		text = bytes.TrimSuffix(text, []byte("\n"))
	}
	if l.opts.timestamps && begins {
		text = append(at.AppendFormat(nil, fixedNano+" "), text...)
	}
	return l.write(text)
}

var space = []byte(" ")

// fixedNano is RFC 3339 with nanoseconds, zeros and all, so that lines sort.
const fixedNano = "2006-01-02T15:04:05.000000000Z07:00"

func (l *logReader) write(text []byte) error {
	limited := l.left >= 0 && int64(len(text)) >= l.left
	if limited {
		text = text[:l.left]
	}
	n, err := l.out.Write(text)
	if err != nil {
		return err
	}
	if l.left >= 0 {
		l.left -= int64(n)
	}
	if limited {
		return errLimit
	}
	return nil
}

// tailStart is where the last n lines of f begin.
func tailStart(f io.ReadSeeker, n int64) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || n == 0 {
		return end, err
	}
	const block = 4096
	buf := make([]byte, block)
	var seen int64
	for at := end; at > 0; {
		from := max(0, at-block)
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			return 0, err
		}
		b := buf[:at-from]
		if _, err := io.ReadFull(f, b); err != nil {
			return 0, err
		}
		for i := len(b) - 1; i >= 0; i-- {
			// The newline that ends the file ends the last line; it does not begin another.
			if b[i] == '\n' && from+int64(i) != end-1 {
				if seen++; seen == n {
					return from + int64(i) + 1, nil
				}
			}
		}
		at = from
	}
	return 0, nil
}
