package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/hub/store"

	"github.com/google/btree"
)

// Waits between attempts to reach a store that fails.
const (
	retryFirst = 50 * time.Millisecond
	retryLast  = 5 * time.Second
)

// Run loads the kind by pages and then follows the store's watch until ctx ends; it reloads when history is lost.
func (c *Cache) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.tidy(ctx)
	}()
	defer func() { <-done }()

	wait := retryFirst
	for ctx.Err() == nil {
		err := c.load(ctx)
		if err == nil {
			wait = retryFirst
			err = c.follow(ctx)
		}
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, store.ErrCompacted) {
			c.log.Info("history lost, reloading", "error", err)
			continue
		}
		c.log.Warn("load failed", "error", err)
		wait = pause(ctx, wait)
	}
	return nil
}

// pause sleeps for wait and returns the next one.
func pause(ctx context.Context, wait time.Duration) time.Duration {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return min(2*wait, retryLast)
}

// load reads the whole kind as of now and puts it in place of what there was.
func (c *Cache) load(ctx context.Context) error {
	begin := time.Now()
	s, err := c.read(ctx, 0)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	c.replace(s)
	c.log.Debug("loaded", "objects", s.byKey.Len(), "revision", s.Revision, "took", time.Since(begin))
	return nil
}

// read lists the whole kind from the store as of one revision (0: now). Entries that the cache has already are shared with
// it, with the forms that have been made of them.
func (c *Cache) read(ctx context.Context, revision int64) (*Snapshot, error) {
	have := c.current.Load()
	s := &Snapshot{byKey: btree.NewG(degree, lessKey), byPart: c.newPartIndex()}
	take := func(kvs []store.KV) error {
		for _, e := range c.entries(have, kvs) {
			if e.bad != nil {
				if s.bad == nil {
					s.bad = map[string]*Entry{}
				}
				s.bad[e.Key] = e
				continue
			}
			s.byKey.ReplaceOrInsert(e)
			if s.byPart != nil {
				s.byPart.ReplaceOrInsert(placed{c.part(e), e})
			}
		}
		return nil
	}
	var err error
	if revision == 0 {
		s.Revision, err = store.Scan(ctx, c.st, c.prefix, take)
	} else {
		s.Revision, err = store.Pages(ctx, c.st, c.prefix, revision, take)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// entry makes the entry of a stored value, which it does not hold on to, or takes it from have.
func (c *Cache) entry(have *Snapshot, kv *store.KV) *Entry {
	if have != nil {
		if e := have.Get(kv.Key); e != nil && e.Revision == kv.Revision {
			return e
		}
	}
	e := newEntry(c.kind, &c.envs, c.bounds, kv.Key, kv.Revision, kv.Value)
	if bad := c.badly(e, kv, true); bad != nil {
		return bad
	}
	e.stored = bytes.Clone(e.stored) // everything else of it is a copy already
	return e
}

// atOnce is how many entries one goroutine makes.
const atOnce = 500

// entries makes the entries of many values. That is to copy them, which takes long enough for all processors to help.
func (c *Cache) entries(have *Snapshot, kvs []store.KV) []*Entry {
	out := make([]*Entry, len(kvs))
	var wg sync.WaitGroup
	for from := 0; from < len(kvs); from += atOnce {
		to := min(from+atOnce, len(kvs))
		part := func() {
			for i := from; i < to; i++ {
				out[i] = c.entry(have, &kvs[i])
			}
		}
		if to == len(kvs) {
			part()
			break
		}
		wg.Go(part)
	}
	wg.Wait()
	return out
}

func (c *Cache) newPartIndex() *btree.BTreeG[placed] {
	if c.part == nil {
		return nil
	}
	return btree.NewG(degree, lessPlace)
}

// replace starts over with s, which becomes the cache's own. Cursors of before find that their history is lost.
func (c *Cache) replace(s *Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.mu.log == nil
	if !first {
		c.mu.retained[len(c.mu.retained)-1].until = c.revision.Load()
		c.loseHistoryLocked()
	}
	if !first {
		c.mu.byKey.Ascend(func(e *Entry) bool { c.bounds.succeed(nil, e); return true })
	}
	s.byKey.Ascend(func(e *Entry) bool { c.bounds.succeed(e, nil); return true })
	c.mu.byKey, c.mu.byPart, c.mu.bad = s.byKey, s.byPart, nil
	for key, e := range s.bad {
		c.setBadLocked(key, e)
	}
	c.mu.log = newJournal(s.Revision, c.bounds)
	c.retainLocked(s.Revision, time.Now())
	c.forgetLocked(time.Now())
	if c.told != nil {
		c.told()
	}
	c.publishLocked(s.Revision)
	if first {
		close(c.ready)
	}
}

// follow applies the store's watch, and comes back when history is lost or ctx ends.
func (c *Cache) follow(ctx context.Context) error {
	wait := retryFirst
	for {
		before := c.revision.Load()
		err := c.st.Watch(ctx, c.prefix, before, c.apply)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, store.ErrCompacted) {
			return err
		}
		if c.revision.Load() > before {
			wait = retryFirst
		}
		c.log.Warn("watch broke off, resuming", "error", err)
		wait = pause(ctx, wait)
	}
}

// apply takes one batch of the store's watch.
func (c *Cache) apply(events []store.Event) error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	reached := c.revision.Load()
	touched := map[*journal]struct{}{}
	fresh := false
	for i := range events {
		ev := &events[i]
		if !ev.Progress && ev.Revision > c.revision.Load() {
			if !fresh {
				fresh = true
				c.mu.retained[len(c.mu.retained)-1].until = ev.Revision - 1
			}
			c.applyLocked(ev, now, touched)
		}
		reached = max(reached, ev.Revision)
	}
	if fresh {
		c.retainLocked(reached, now)
		if c.told != nil {
			c.told()
		}
	}
	if reached > c.revision.Load() {
		c.publishLocked(reached)
	}
	c.mu.log.trim(now, 0)
	for j := range touched {
		if j != c.mu.log {
			j.trim(now, c.mu.log.floor)
		}
		j.notify()
	}
	c.forgetLocked(now)
	return nil
}

// applyLocked changes the trees by one event and appends it to the journals it belongs to.
func (c *Cache) applyLocked(ev *store.Event, now time.Time, touched map[*journal]struct{}) {
	prev, had := c.mu.byKey.Get(&Entry{Key: ev.Key})
	out := Event{Revision: ev.Revision}
	if had {
		out.Prev = prev
	}
	fresh, bad := c.freshLocked(ev)
	c.setBadLocked(ev.Key, bad)
	gone := ev.Deleted || bad != nil // nobody can be shown what cannot be read
	switch {
	case gone && !had:
		return // created and deleted between two states of a load
	case gone:
		out.Type, out.Entry = Deleted, tombstone(prev, ev.Revision)
		c.mu.byKey.Delete(prev)
		c.bounds.succeed(nil, prev)
	default:
		if out.Type = Modified; !had {
			out.Type = Added
		}
		out.Entry = fresh
		c.mu.byKey.ReplaceOrInsert(out.Entry)
		c.bounds.succeed(out.Entry, out.Prev)
	}
	add := func(j *journal) {
		j.append(out, now)
		touched[j] = struct{}{}
	}
	add(c.mu.log)
	if p := c.mu.keys[ev.Key]; p != nil {
		add(p.journal)
	}
	if c.part != nil {
		c.placeLocked(&out, add)
	}
}

// freshLocked makes the entry of a change, or takes it from the writer; bad is in its place when it cannot be read.
func (c *Cache) freshLocked(ev *store.Event) (fresh, bad *Entry) {
	if ev.Deleted {
		return nil, nil
	}
	if e := c.mu.learned[ev.Revision]; e != nil && e.Key == ev.Key {
		return e, nil
	}
	e := newEntry(c.kind, &c.envs, c.bounds, ev.Key, ev.Revision, ev.Value)
	return e, c.badly(e, &ev.KV, false)
}

// placeLocked keeps the index of the parts, and appends the event to the journals of the part that the object is in and of the
// one it was in.
func (c *Cache) placeLocked(out *Event, add func(*journal)) {
	is, was := "", ""
	if out.Type != Deleted {
		is = c.part(out.Entry)
	}
	if out.Prev != nil {
		was = c.part(out.Prev)
	}
	if out.Prev != nil && (out.Type == Deleted || is != was) {
		c.mu.byPart.Delete(placed{was, out.Prev})
	}
	if out.Type != Deleted {
		c.mu.byPart.ReplaceOrInsert(placed{is, out.Entry})
	}
	if p := c.mu.parts[is]; p != nil && is != "" {
		add(p.journal)
	}
	if p := c.mu.parts[was]; p != nil && was != "" && was != is {
		add(p.journal)
	}
}

// publishLocked lets readers see everything up to revision.
func (c *Cache) publishLocked(revision int64) {
	s := c.mu.retained[len(c.mu.retained)-1].Snapshot
	if s.Revision != revision {
		s = &Snapshot{Revision: revision, byKey: s.byKey, byPart: s.byPart, bad: s.bad}
	}
	c.current.Store(s)
	c.revision.Store(revision)
	for rev := range c.mu.learned {
		if rev <= revision {
			delete(c.mu.learned, rev)
		}
	}
	if c.mu.advanced != nil {
		close(c.mu.advanced)
		c.mu.advanced = nil
	}
}

// tidy lets go of history that only time makes old, so that a burst of changes does not stay in memory until the next.
func (c *Cache) tidy(ctx context.Context) {
	t := time.NewTicker(keepFor)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			c.mu.Lock()
			if c.mu.log != nil {
				c.mu.log.trim(now, 0)
				c.forgetLocked(now)
				c.mu.kept = slices.DeleteFunc(c.mu.kept, func(r retained) bool { return now.Sub(r.made) > keepAskedFor })
			}
			for _, parts := range []map[string]*partition{c.mu.keys, c.mu.parts} {
				for _, p := range parts {
					p.trim(now, c.mu.log.floor)
				}
			}
			c.mu.Unlock()
		}
	}
}
