package cache

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/hub/store"
)

// retained is a snapshot kept for reads at an exact revision: it is the state from Revision up to until.
type retained struct {
	*Snapshot
	until int64
	made  time.Time

	// For one that is kept because it was asked for: what the journal had written by then, and the bytes of entries that
	// nothing else holds, because the state was read from the store.
	written int64
	own     int64
}

// Every state is kept for as long as a client may take to come back for its second page, but not more of them than
// keepSnapshots. One that somebody did come back for is kept for as long as upstream's etcd keeps history, so that the rest
// of the pages do not have to be read from the store, however fast the kind is written.
const (
	keepSnapshots   = 256
	keepSnapshotFor = 75 * time.Second
	keepAsked       = 64
	keepAskedFor    = 5 * time.Minute
)

// At returns the state of exactly that revision: a retained one, or else what the store's history says. It waits for a
// revision that has not been reached yet. The error is store.ErrCompacted when the state is nowhere to be had.
func (c *Cache) At(ctx context.Context, revision int64) (*Snapshot, error) {
	cur, err := c.Snapshot(ctx, revision)
	if err != nil {
		return nil, err
	}
	if c.forgot(revision) {
		return nil, fmt.Errorf("%s at %d: %w", c.prefix, revision, store.ErrCompacted)
	}
	if s := c.retainedAt(cur, revision); s != nil {
		return s, nil
	}
	c.past.Lock()
	defer c.past.Unlock()
	if s := c.retainedAt(cur, revision); s != nil {
		return s, nil
	}
	s, err := c.read(ctx, revision)
	if err != nil {
		return nil, fmt.Errorf("%s at %d: %w", c.prefix, revision, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepLocked(s, c.ownLocked(s))
	return s, nil
}

// ForgetBefore has no state from before a revision be shown any more, which the store has none of either: a client that comes back for one
// after so long is told so, whether or not the kind was written in between.
func (c *Cache) ForgetBefore(before int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.begins = max(c.mu.begins, before)
	c.mu.kept = slices.DeleteFunc(c.mu.kept, func(r retained) bool { return r.Revision < c.mu.begins })
}

func (c *Cache) forgot(revision int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return revision < c.mu.begins
}

// ownLocked is how many bytes the entries of s take that are not those of the newest state.
func (c *Cache) ownLocked(s *Snapshot) int64 {
	own := int64(0)
	s.byKey.Ascend(func(e *Entry) bool {
		if have, ok := c.mu.byKey.Get(e); !ok || have != e {
			own += int64(e.Size())
		}
		return true
	})
	return own
}

// retainedAt looks the state of revision up, which cur has reached, and keeps it for longer.
func (c *Cache) retainedAt(cur *Snapshot, revision int64) *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, r := range c.mu.kept {
		if r.Revision == revision && now.Sub(r.made) <= keepAskedFor {
			return r.Snapshot
		}
	}
	newest := len(c.mu.retained) - 1
	for i := newest; i >= 0; i-- {
		r := c.mu.retained[i]
		until := r.until
		if i == newest {
			until = max(until, cur.Revision)
		}
		if r.Revision <= revision && revision <= until {
			s := &Snapshot{Revision: revision, byKey: r.byKey, byPart: r.byPart, bad: r.bad}
			c.keepLocked(s, 0)
			return s
		}
	}
	return nil
}

// keepLocked keeps s from now on, which has so many bytes of its own. Asking for it again does not prolong that: a client that
// pages for ever must be told so.
func (c *Cache) keepLocked(s *Snapshot, own int64) {
	c.mu.kept = append(c.mu.kept, retained{Snapshot: s, until: s.Revision, made: time.Now(), written: c.mu.log.written, own: own})
	c.forgetKeptLocked()
}

// forgetKeptLocked drops states that were asked for when there are too many, or when they hold too much that has changed since:
// whoever comes back for one has it read from the store again. The newest stays, for the one who has just asked.
func (c *Cache) forgetKeptLocked() {
	most, held := int64(c.mu.log.most()), int64(0)
	keep := len(c.mu.kept)
	for keep > 0 && len(c.mu.kept)-keep < keepAsked {
		r := &c.mu.kept[keep-1]
		if held += r.own; c.mu.log.written-r.written+held > 2*most && keep < len(c.mu.kept) {
			break
		}
		keep--
	}
	c.mu.kept = slices.Delete(c.mu.kept, 0, keep)
}

// retainLocked notes the trees' state, which is that of revision, as a snapshot.
func (c *Cache) retainLocked(revision int64, now time.Time) {
	s := &Snapshot{Revision: revision, byKey: c.mu.byKey.Clone(), bad: c.mu.bad}
	if c.mu.byPart != nil {
		s.byPart = c.mu.byPart.Clone()
	}
	c.mu.retained = append(c.mu.retained, retained{Snapshot: s, until: revision, made: now})
}

// forgetLocked drops the snapshots that need not be kept: there are too many, they are too old, or the journal has had to
// let go of the events since, whose objects they would hold on to. The newest stays.
func (c *Cache) forgetLocked(now time.Time) {
	drop := 0
	for drop < len(c.mu.retained)-1 {
		next := c.mu.retained[drop+1]
		if len(c.mu.retained)-drop <= keepSnapshots && now.Sub(next.made) <= keepSnapshotFor && next.Revision >= c.mu.log.floor {
			break
		}
		drop++
	}
	c.mu.retained = slices.Delete(c.mu.retained, 0, drop)
	c.forgetKeptLocked()
}
