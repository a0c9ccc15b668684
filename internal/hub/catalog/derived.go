package catalog

import (
	"sync"
	"sync/atomic"
)

// Derived is a value that follows from what is served: made when somebody first asks, and anew when somebody asks after a
// change. A nobody-asked-for change costs nothing.
type Derived[T any] struct {
	c    *Catalog
	from func(*Snapshot) T
	last atomic.Pointer[derivation[T]]
	mu   sync.Mutex // held while a value is made, so that it is made once
}

type derivation[T any] struct {
	of    *Snapshot
	value T
}

// Derive makes a Derived by a function that depends on the snapshot alone.
func Derive[T any](c *Catalog, from func(*Snapshot) T) *Derived[T] {
	return &Derived[T]{c: c, from: from}
}

// Get returns the value of what is served now.
func (d *Derived[T]) Get() T {
	if l := d.last.Load(); l != nil && l.of == d.c.Now() {
		return l.value
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.c.Now()
	if l := d.last.Load(); l != nil && l.of == now {
		return l.value
	}
	l := &derivation[T]{now, d.from(now)}
	d.last.Store(l)
	return l.value
}
