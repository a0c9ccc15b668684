package health

import (
	"context"
	"sync"
)

// Check is one health check. Its name is a path below /livez, /readyz and /healthz, where it is listed.
type Check struct {
	Name  string
	Check func(ctx context.Context) error
	Ready bool // only of /readyz
	Live  bool // only of /livez and /healthz

	// Told is for what people should see and nobody should act on: it is listed with its reason, and can be asked alone, but
	// decides nothing. An API server is not taken out of service because the DNS server beside it is down.
	Told bool
}

// Mark is a check whose outcome somebody else sets: Check gives back what Pass or Fail was last told.
type Mark struct {
	mu struct {
		sync.Mutex
		err error
	}
}

// NewMark makes one whose outcome is err until it is told another.
func NewMark(err error) *Mark {
	m := &Mark{}
	m.mu.err = err
	return m
}

// Pass sets that all is well.
func (m *Mark) Pass() { m.Fail(nil) }

// Fail sets what is wrong; nil is nothing.
func (m *Mark) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.err = err
}

// Check gives back what it was last told.
func (m *Mark) Check(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.err
}
