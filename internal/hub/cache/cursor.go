package cache

import (
	"context"
	"fmt"
	"strings"

	"sampan.dev/internal/hub/store"
)

// Scope narrows a watch so that a partition of the log can serve it. At most one of Key and Part is set.
type Scope struct {
	Prefix string // keys that start with it; "" is the whole kind
	Key    string // just this key
	Part   string // objects whose partition field (api.Partition) is, or was before the event, this
}

// partition is a journal of the events of one scope, kept while cursors read it. What happened before it was made, its
// first readers took from the kind's journal.
type partition struct {
	*journal
	readers int
}

// Cursor is a place in the log. It is for one goroutine.
type Cursor struct {
	c       *Cache
	scope   Scope
	j       *journal
	at      place
	after   int64   // events at or below are not for us
	backlog []Event // of a partition: what happened before it was joined
	seen    int64   // see Progress
	buf     []Event
	closed  bool
}

// TooOldError says that a watch asks for events that the log no longer holds. It is store.ErrCompacted.
type TooOldError struct {
	Prefix string
	After  int64 // what was asked for
	Floor  int64 // the oldest revision that a watch can begin after
}

func (e *TooOldError) Error() string {
	return fmt.Sprintf("watch %s after %d: %v, the log begins after %d", e.Prefix, e.After, store.ErrCompacted, e.Floor)
}

// Unwrap makes errors.Is work with store.ErrCompacted.
func (e *TooOldError) Unwrap() error { return store.ErrCompacted }

// Watch returns a cursor that will yield every event of scope with a revision above after. It fails with a *TooOldError
// when the log no longer reaches back that far.
func (c *Cache) Watch(scope Scope, after int64) (*Cursor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if why := c.gone.Load(); why != nil {
		return nil, fmt.Errorf("watch %s: %w", c.prefix, *why)
	}
	if c.mu.log == nil {
		return nil, fmt.Errorf("watch %s: %w", c.prefix, store.ErrUnready)
	}
	if after < c.mu.log.floor {
		return nil, &TooOldError{Prefix: c.prefix, After: after, Floor: c.mu.log.floor}
	}
	cu := &Cursor{c: c, scope: scope, after: after, seen: after}
	if scope.Key == "" && scope.Part == "" {
		cu.j, cu.at = c.mu.log, c.mu.log.after(after)
		return cu, nil
	}
	c.mu.log.after(after).read(func(e *Event) {
		if c.inScope(scope, e) {
			cu.backlog = append(cu.backlog, *e)
		}
	})
	parts, name := c.partsLocked(scope)
	p := parts[name]
	if p == nil {
		p = &partition{journal: newJournal(0, nil)}
		parts[name] = p
	}
	p.readers++
	cu.j, cu.at = p.journal, p.end()
	return cu, nil
}

// partsLocked returns the partitions of scope's sort, and the name of its own among them.
func (c *Cache) partsLocked(scope Scope) (map[string]*partition, string) {
	if scope.Key != "" {
		return c.mu.keys, scope.Key
	}
	return c.mu.parts, scope.Part
}

// inScope reports whether a watch of a partition wants e.
func (c *Cache) inScope(scope Scope, e *Event) bool {
	if scope.Key != "" {
		return e.Entry.Key == scope.Key
	}
	return c.part != nil && (c.part(e.Entry) == scope.Part || c.part(e.Prev) == scope.Part)
}

// Next blocks until there are events and returns all that are there (the slice is valid until the next call). It returns
// store.ErrCompacted when the cursor has fallen out of the log, and ctx's error when that ends. When wake is closed first
// or yields it returns no events and no error, so that the caller can send a bookmark; Progress tells up to where nothing
// was missed.
func (cu *Cursor) Next(ctx context.Context, wake <-chan struct{}) ([]Event, error) {
	for {
		changed := cu.j.changed()
		events, err := cu.Take()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wake:
			// Read once more, for Progress to be of now and not of the kind's last event.
			cu.c.refresh(ctx)
			return cu.Take()
		}
	}
}

// Take is Next without the waiting: it returns what is there, perhaps nothing.
func (cu *Cursor) Take() ([]Event, error) {
	// The cache publishes a revision after it has appended the events up to it, so what is read after this is all of it.
	reached := cu.c.revision.Load()
	cu.buf = cu.buf[:0]
	for i := range cu.backlog {
		cu.take(&cu.backlog[i])
	}
	cu.backlog = nil
	at, ok := cu.at.read(cu.take)
	if why := cu.c.gone.Load(); !ok && why != nil {
		return nil, fmt.Errorf("watch %s: %w", cu.c.prefix, *why)
	}
	if !ok {
		return nil, fmt.Errorf("watch %s after %d: %w", cu.c.prefix, cu.seen, store.ErrCompacted)
	}
	cu.at = at
	if n := len(cu.buf); n > 0 {
		reached = max(reached, cu.buf[n-1].Revision)
	}
	cu.seen = max(cu.seen, reached)
	return cu.buf, nil
}

func (cu *Cursor) take(e *Event) {
	if e.Revision > cu.after && strings.HasPrefix(e.Entry.Key, cu.scope.Prefix) {
		cu.buf = append(cu.buf, *e)
	}
}

// Progress is the revision up to which the cursor has yielded everything there is.
func (cu *Cursor) Progress() int64 { return cu.seen }

// Close lets go of the cursor's partition.
func (cu *Cursor) Close() {
	cu.c.mu.Lock()
	defer cu.c.mu.Unlock()
	if cu.closed {
		return
	}
	cu.closed = true
	parts, name := cu.c.partsLocked(cu.scope)
	if p := parts[name]; p != nil && p.journal == cu.j {
		if p.readers--; p.readers == 0 {
			delete(parts, name)
		}
	}
}
