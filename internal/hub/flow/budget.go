package flow

import (
	"context"
	"sync"
	"time"
)

// Patience is how long a request waits for bytes before it is refused: others finish within moments, or not soon.
const Patience = time.Second

// Budget limits the bytes of memory that requests hold together. It is a semaphore of bytes, first come, first served: a small
// request does not overtake a large one that waits.
//
// Any goroutine may use it. mu is held for the arithmetic only, never while somebody waits. Invariant: held is the sum of
// what was taken and not given back; as long as the limit does not fall it is at most the limit. A waiter's ready is closed,
// under mu, by whoever has taken its bytes for it and removed it from waiting.
type Budget struct {
	limit   func() int64 // how many may be held now
	relieve func()       // is called when it refuses what would not fit if nothing were held; may be nil

	mu struct {
		sync.Mutex
		held    int64
		waiting []*waiter // oldest first
	}
}

type waiter struct {
	n     int64
	ready chan struct{}
}

// NewBudget makes a budget of as many bytes as limit says at the time.
func NewBudget(limit func() int64) *Budget { return &Budget{limit: limit} }

// Take waits for n bytes, no longer than Patience. Whoever holds some already must use TryTake: it would wait for itself.
func (b *Budget) Take(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.mu.waiting) == 0 && b.takeLocked(n) {
		b.mu.Unlock()
		return nil
	}
	if n > b.limit() { // were all given back, it would still not fit
		b.mu.Unlock()
		if b.relieve != nil {
			b.relieve()
		}
		return ErrTooMany
	}
	w := &waiter{n, make(chan struct{})}
	b.mu.waiting = append(b.mu.waiting, w)
	b.mu.Unlock()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-w.ready:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return b.abandon(w)
}

// abandon takes a waiter off the line; if it was served a moment ago, it has what it waited for.
func (b *Budget) abandon(w *waiter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, v := range b.mu.waiting {
		if v == w {
			b.mu.waiting = append(b.mu.waiting[:i], b.mu.waiting[i+1:]...)
			b.serveLocked() // a smaller one behind it may fit
			return ErrTooMany
		}
	}
	return nil
}

// TryTake takes n bytes if they are there.
func (b *Budget) TryTake(n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.waiting) > 0 || !b.takeLocked(n) {
		return ErrTooMany
	}
	return nil
}

func (b *Budget) takeLocked(n int64) bool {
	if b.mu.held+n > b.limit() {
		return false
	}
	b.mu.held += n
	return true
}

// Give gives back n bytes.
func (b *Budget) Give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.held -= n
	b.serveLocked()
}

func (b *Budget) serveLocked() {
	for len(b.mu.waiting) > 0 && b.takeLocked(b.mu.waiting[0].n) {
		close(b.mu.waiting[0].ready)
		b.mu.waiting = b.mu.waiting[1:]
	}
}

// Held is how many bytes are held now.
func (b *Budget) Held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.held
}
