package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/utils"
	"golang.org/x/sys/unix"
)

// stdio connects the three streams of a process with the named pipes that containerd made for it. The process is given pipes of its
// own, and goroutines copy between these and containerd's: a child of it that lives longer then holds ours open, not containerd's.
//
// Whoever starts the process calls attach and then running; finish or close ends everything. Theirs and parent belong to that
// caller; mu guards which files are open, since requests (resize, closeStdin) come at any time. Each file in ours is closed once.
type stdio struct {
	stdin, stdout, stderr string // paths of containerd's pipes; "" is none
	terminal              bool
	uid, gid              int // of the container's root on the host, set before attach

	copies sync.WaitGroup // the goroutines that copy what the process writes
	theirs []*os.File     // the process's ends, which are closed here once it runs
	parent *os.File       // the socket over which libcontainer sends the terminal

	mu struct {
		sync.Mutex
		ours   []*os.File // our ends, which close closes
		master *os.File   // our side of the terminal; nil without one
		hold   *os.File   // a writer of containerd's pipe of our own, so that standard input does not end while others come and go
		closed bool
	}
}

// attach gives the process its ends. If it fails, everything is closed.
func (s *stdio) attach(p *libcontainer.Process) (err error) {
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.terminal {
		parent, child, err := utils.NewSockPair("console")
		if err != nil {
			return err
		}
		s.parent = parent
		s.keep(parent)
		s.theirs = append(s.theirs, child)
		p.ConsoleSocket = child
		return nil
	}
	if p.Stdin, err = s.input(); err != nil {
		return err
	}
	if p.Stdout, err = s.output(s.stdout); err != nil {
		return err
	}
	if p.Stderr, err = s.output(s.stderr); err != nil {
		return err
	}
	return s.give()
}

// give makes the process's ends its root's, who may open them once more then: /dev/stdout.
func (s *stdio) give() error {
	if s.uid == 0 && s.gid == 0 {
		return nil
	}
	for _, f := range s.theirs {
		if err := f.Chown(s.uid, s.gid); err != nil {
			return err
		}
	}
	return nil
}

// keep notes a file that close is to close.
func (s *stdio) keep(f *os.File) {
	s.mu.Lock()
	s.mu.ours = append(s.mu.ours, f)
	s.mu.Unlock()
}

// input returns the file that the process is to read from.
func (s *stdio) input() (io.Reader, error) {
	if s.stdin == "" {
		return s.null(os.O_RDONLY)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.theirs = append(s.theirs, r)
	s.keep(w)
	return r, s.feed(w)
}

// feed copies containerd's standard input to w until closeStdin was called and the last other writer has closed it.
func (s *stdio) feed(w io.WriteCloser) error {
	from, err := os.OpenFile(s.stdin, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open stdin: %w", err)
	}
	s.keep(from)
	hold, err := os.OpenFile(s.stdin, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open stdin: %w", err)
	}
	s.mu.Lock()
	s.mu.hold = hold
	s.mu.Unlock()
	go func() { // ends when all writers have closed, or by close
		pump(w, from)
		if !s.terminal {
			w.Close()
		}
	}()
	return nil
}

// output returns the file that the process is to write to; what it writes is copied to containerd's pipe at path.
func (s *stdio) output(path string) (io.Writer, error) {
	if path == "" {
		return s.null(os.O_WRONLY)
	}
	to, err := openOut(path)
	if err != nil {
		return nil, err
	}
	s.keep(to)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.keep(r)
	s.theirs = append(s.theirs, w)
	s.copy(to, r)
	return w, nil
}

// copy copies what the process writes. At the end containerd's pipe is closed too: containerd waits for that before it deletes the
// process.
func (s *stdio) copy(to, from *os.File) {
	s.copies.Go(func() {
		pump(to, from)
		to.Close()
	})
}

// openOut opens a named pipe for writing. It is opened for reading too, so that writes do not fail while containerd is away.
func openOut(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open output: %w", err)
	}
	return f, nil
}

// null returns the null device, for a stream that containerd has no pipe for.
func (s *stdio) null(flag int) (*os.File, error) {
	f, err := os.OpenFile(os.DevNull, flag, 0)
	if err == nil {
		s.theirs = append(s.theirs, f)
	}
	return f, err
}

// running is called once the process runs and has its ends: ours of them are closed, and a terminal is received.
func (s *stdio) running() error {
	if s.terminal {
		if err := s.openTerminal(); err != nil {
			return err
		}
	}
	s.closeTheirs()
	return nil
}

// closeTheirs closes our copies of the process's ends, so that its streams end with it.
func (s *stdio) closeTheirs() {
	for _, f := range s.theirs {
		f.Close()
	}
	s.theirs = nil
}

// openTerminal receives our side of the terminal that libcontainer made and connects it.
func (s *stdio) openTerminal() error {
	got, err := utils.RecvFile(s.parent)
	if err != nil {
		return fmt.Errorf("receive the terminal: %w", err)
	}
	fd, err := unix.FcntlInt(got.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	got.Close()
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that it can be waited for
		unix.Close(fd)
		return err
	}
	master := os.NewFile(uintptr(fd), "terminal")
	s.keep(master)
	s.mu.Lock()
	s.mu.master = master
	s.mu.Unlock()
	if s.stdout != "" {
		to, err := openOut(s.stdout)
		if err != nil {
			return err
		}
		s.keep(to)
		s.copy(to, master)
	}
	if s.stdin != "" {
		return s.feed(master)
	}
	return nil
}

// resize sets the size of the terminal, in characters.
func (s *stdio) resize(width, height uint32) error {
	s.mu.Lock()
	master := s.mu.master
	s.mu.Unlock()
	if master == nil {
		return fmt.Errorf("the process has no terminal: %w", errdefs.ErrFailedPrecondition)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	var ierr error
	err = raw.Control(func(fd uintptr) {
		ierr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)})
	})
	return errors.Join(err, ierr)
}

// closeStdin closes our own writer of standard input: the process sees the end once the other writers have closed it too.
func (s *stdio) closeStdin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.hold != nil {
		s.mu.hold.Close()
		s.mu.hold = nil
	}
}

// finish waits until all that the process wrote is copied and closes everything. It waits no longer than limit, because a child of
// the process may hold its pipes open.
func (s *stdio) finish(limit time.Duration) {
	done := make(chan struct{})
	go func() { // ends with the copies, at the latest by close
		s.copies.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
	s.close()
}

// close closes everything. It may be called again.
func (s *stdio) close() {
	s.closeTheirs()
	s.closeStdin()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return
	}
	s.mu.closed = true
	for _, f := range s.mu.ours {
		f.Close()
	}
}

// buffers are those of all copies. They would otherwise be most of the monitor's memory.
var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// pump copies until the end or an error. It takes a buffer only when there is something to read, since most streams are silent most
// of the time.
func pump(to io.Writer, from *os.File) {
	raw, err := from.SyscallConn()
	if err != nil {
		return
	}
	for {
		var b *[]byte
		var n int
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			b = buffers.Get().(*[]byte)
			for {
				n, rerr = unix.Read(int(fd), *b)
				if rerr != unix.EINTR {
					break
				}
			}
			if rerr == unix.EAGAIN {
				buffers.Put(b)
				return false
			}
			return true
		})
		if err != nil {
			return
		}
		if n > 0 {
			_, err = to.Write((*b)[:n])
		}
		buffers.Put(b)
		if n <= 0 || rerr != nil || err != nil {
			return
		}
	}
}
