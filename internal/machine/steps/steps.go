package steps

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Steps tells a person what is being done and how long each thing took. Its zero value says nothing.
type Steps struct {
	mu struct {
		sync.Mutex
		w     io.Writer
		start time.Time
	}
}

func New(w io.Writer) *Steps {
	s := &Steps{}
	s.mu.w = w
	s.mu.start = time.Now()
	return s
}

// Done reports a finished step that began at since.
func (s *Steps) Done(what string, since time.Time, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.w == nil {
		return
	}
	now := time.Now()
	fmt.Fprintf(s.mu.w, "  %-22s %7s  at %7s  %s\n", what, Millis(now.Sub(since)), Millis(now.Sub(s.mu.start)), detail)
}

// Say prints a line as it is.
func (s *Steps) Say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.w != nil {
		fmt.Fprintf(s.mu.w, format+"\n", args...)
	}
}

// Elapsed is the time since the first step began.
func (s *Steps) Elapsed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.mu.start)
}

func Millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
