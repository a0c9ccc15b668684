package cache

import (
	"errors"
	"sync/atomic"

	"sampan.dev/internal/api"
)

// Why watches end before their time.
var (
	ErrGone     = errors.New("the kind is no longer served")
	ErrReplaced = errors.New("the kind is served anew") // who watches begins again
)

// EndWatches ends every watch with why, and refuses others. Reads go on, and the feed does.
func (c *Cache) EndWatches(why error) {
	c.gone.Store(&why)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.log == nil {
		return
	}
	c.loseHistoryLocked()
	c.mu.log = newJournal(c.revision.Load(), c.bounds)
}

// loseHistoryLocked drops the journals; cursors find that out.
func (c *Cache) loseHistoryLocked() {
	c.mu.log.fail()
	for _, parts := range []map[string]*partition{c.mu.keys, c.mu.parts} {
		for name, p := range parts {
			p.fail()
			delete(parts, name)
		}
	}
}

// Close lets go of what has been made of the entries, once Run has returned. Who still holds an entry may go on reading it.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.log == nil {
		return
	}
	for _, s := range c.mu.log.segments {
		c.bounds.forgetAll(s)
	}
	c.mu.byKey.Ascend(func(e *Entry) bool {
		c.bounds.succeed(nil, e)
		c.bounds.forget(e)
		return true
	})
}

// forgetAll lets go of what was made of entries that only a segment of history holds.
func (b *Bounds) forgetAll(s *segment) {
	for i := range s.events[:s.n.Load()] {
		ev := &s.events[i]
		if b.forget(ev.Prev); ev.Type == Deleted {
			b.forget(ev.Entry)
		}
	}
}

// Written makes the entry of an object that this process has just written, of a kind whose cache does not run. obj is given away
// as with Learn, which is its equal for a kind whose cache does.
func Written(kind *api.Kind, key string, revision int64, stored []byte, obj api.Object) *Entry {
	var envs atomic.Pointer[envelope]
	return written(kind, &envs, nil, key, revision, stored, obj)
}

func written(kind *api.Kind, envs *atomic.Pointer[envelope], bounds *Bounds, key string, revision int64, stored []byte, obj api.Object) *Entry {
	e := newEntry(kind, envs, bounds, key, revision, stored)
	obj.SetResourceVersion(e.resourceVersion())
	if kind.Versions == nil { // else obj is in the version that is stored
		obj.GetObjectKind().SetGroupVersionKind(kind.GVK())
	}
	if api.CodecOf(kind).JSON() {
		e.plain()
	}
	e.keep(obj)
	return e
}
