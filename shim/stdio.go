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

// stdio joins the three streams of a process with the named pipes that containerd made for it. A process writes into pipes of
// its own, so that it does not hold containerd's open longer than we want.
type stdio struct {
	stdin, stdout, stderr string // paths of containerd's pipes; "" is none
	terminal              bool

	copies sync.WaitGroup // of what the process writes
	theirs []*os.File     // the process's ends; closed once it runs
	parent *os.File       // where the terminal comes from

	mu struct {
		sync.Mutex
		ours   []*os.File // closed in the end
		master *os.File   // of the terminal
		hold   *os.File   // keeps standard input open while its writers come and go
		closed bool
	}
}

// attach gives the process its ends.
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
	p.Stderr, err = s.output(s.stderr)
	return err
}

func (s *stdio) keep(f *os.File) {
	s.mu.Lock()
	s.mu.ours = append(s.mu.ours, f)
	s.mu.Unlock()
}

// input returns what the process reads.
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

// feed copies containerd's standard input to w until its writers are gone and it was closed.
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

// output returns what the process writes to, which goes on to containerd's pipe at path.
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

// copy passes on what the process writes. At its end containerd sees the end too, and goes on to delete the process.
func (s *stdio) copy(to, from *os.File) {
	s.copies.Go(func() {
		pump(to, from)
		to.Close()
	})
}

// openOut opens a named pipe to write to. Open for reading too, it takes what is written while containerd is away.
func openOut(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open output: %w", err)
	}
	return f, nil
}

func (s *stdio) null(flag int) (*os.File, error) {
	f, err := os.OpenFile(os.DevNull, flag, 0)
	if err == nil {
		s.theirs = append(s.theirs, f)
	}
	return f, err
}

// running is called once the process runs: it has its ends. A terminal's other side comes from there.
func (s *stdio) running() error {
	if s.terminal {
		if err := s.openTerminal(); err != nil {
			return err
		}
	}
	s.closeTheirs()
	return nil
}

func (s *stdio) closeTheirs() {
	for _, f := range s.theirs {
		f.Close()
	}
	s.theirs = nil
}

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

// closeStdin lets the process see the end of its input once the other writers have closed.
func (s *stdio) closeStdin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.hold != nil {
		s.mu.hold.Close()
		s.mu.hold = nil
	}
}

// finish waits until what the process wrote is copied, but no longer than limit: a child of it may hold the pipes. Then it
// closes everything.
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

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// pump copies until the end or an error. It takes a buffer only while there is something to copy: most streams are silent.
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
