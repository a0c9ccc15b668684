package steps

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/tty"
)

// Steps tells a person what is being done and how long each thing took. Its zero value says nothing.
type Steps struct {
	mu struct {
		sync.Mutex
		live  *tty.Live // nil: nobody listens
		start time.Time
	}
}

// New tells of steps on w. On a terminal a last line counts the time until End.
func New(w io.Writer) *Steps {
	s := &Steps{}
	s.mu.start = time.Now()
	if w != nil && w != io.Discard {
		s.mu.live = tty.NewLive(w, "starting")
	}
	return s
}

// Done reports a finished step that began at since.
func (s *Steps) Done(what string, since time.Time, detail string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.printLocked(fmt.Sprintf("  %-22s %7s  at %7s  %s", what, Millis(now.Sub(since)), Millis(now.Sub(s.mu.start)), detail))
}

// Say prints a line as it is.
func (s *Steps) Say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.printLocked(fmt.Sprintf(format, args...))
}

func (s *Steps) printLocked(line string) {
	if s.mu.live != nil {
		s.mu.live.Print(Dress(s.mu.live.Palette(), line))
	}
}

// End says that no step is to be waited for any more.
func (s *Steps) End() {
	s.mu.Lock()
	live := s.mu.live
	s.mu.Unlock()
	if live != nil {
		live.End()
	}
}

// Elapsed is the time since the first step began.
func (s *Steps) Elapsed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.mu.start)
}

// Millis is a duration in whole milliseconds, as all steps have theirs.
func Millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// Dress paints a line of steps: what is to be copied stands out, what is well is green.
func Dress(p tty.Palette, line string) string {
	switch {
	case strings.HasPrefix(line, "ready after"):
		return p.Paint(tty.Good, line)
	case strings.HasPrefix(line, "export "):
		return p.Paint(tty.Bold, line)
	case strings.HasPrefix(line, "context ") && strings.Contains(line, " not added "):
		return p.Paint(tty.Warn, line)
	}
	return line
}
