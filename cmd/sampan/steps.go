package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// steps tells a person what is being done and how long each thing took. Its zero value says nothing.
type steps struct {
	mu struct {
		sync.Mutex
		w     io.Writer
		start time.Time
	}
}

func newSteps(w io.Writer) *steps {
	s := &steps{}
	s.mu.w = w
	s.mu.start = time.Now()
	return s
}

// done reports a finished step that began at since.
func (s *steps) done(what string, since time.Time, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.w == nil {
		return
	}
	now := time.Now()
	fmt.Fprintf(s.mu.w, "  %-22s %7s  at %7s  %s\n", what, millis(now.Sub(since)), millis(now.Sub(s.mu.start)), detail)
}

// say prints a line as it is.
func (s *steps) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.w != nil {
		fmt.Fprintf(s.mu.w, format+"\n", args...)
	}
}

// elapsed is the time since the first step began.
func (s *steps) elapsed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.mu.start)
}

func millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
