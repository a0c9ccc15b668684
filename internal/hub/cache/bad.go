package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/store"
)

// What cannot be read, since its bytes are damaged or are no object of the kind, stands apart from the other entries: lists
// and watches go on as if it were not there, and only who asks for it by name is told that it is, and may delete it.

// badly makes the entry of a value that cannot be read; nil when it can. A value of which is not known that it is what was
// written is looked into, when sure is asked for or its envelope is not the usual one.
func (c *Cache) badly(e *Entry, kv *store.KV, sure bool) *Entry {
	err := kv.Err
	switch {
	case err == nil && e.env == nil && bytes.HasPrefix(kv.Value, sealedPrefix):
		err = fmt.Errorf("%s at revision %d: %w", kv.Key, kv.Revision, errSealed) // whole, so not ErrDamaged: with its key it can be read
	case err == nil && (e.env == nil && !e.plausible() || sure && kv.Unchecked):
		if _, decode := e.decode(); decode != nil {
			err = fmt.Errorf("%s at revision %d: %w: %w", kv.Key, kv.Revision, store.ErrDamaged, decode)
		}
	}
	if err == nil {
		return nil
	}
	return &Entry{Key: kv.Key, Revision: kv.Revision, kind: c.kind, bad: err}
}

// sealedPrefix is what all encrypted values begin with (`hub/encrypt`); errSealed has upstream's words.
var (
	sealedPrefix = []byte("k8s:enc:")
	errSealed    = errors.New("identity transformer tried to read encrypted data")
)

// plausible reports whether what is stored of a kind that is stored as JSON looks like an object, without decoding it.
func (e *Entry) plausible() bool {
	return api.CodecOf(e.kind).JSON() && json.Valid(e.stored) && apiVersionIn(e.stored) != ""
}

// setBadLocked notes, or with nil forgets, what cannot be read at key. Snapshots keep the map they have.
func (c *Cache) setBadLocked(key string, e *Entry) {
	if c.mu.bad[key] == nil && e == nil {
		return
	}
	bad := maps.Clone(c.mu.bad)
	if bad == nil {
		bad = map[string]*Entry{}
	}
	if delete(bad, key); e != nil {
		bad[key] = e
		c.log.Error("an object cannot be read and is left out of lists", "key", key, "revision", e.Revision, "error", e.bad)
	}
	c.mu.bad = bad
}

// Bad are the entries under prefix that cannot be read, in key order.
func (s *Snapshot) Bad(prefix string) []*Entry {
	if len(s.bad) == 0 {
		return nil
	}
	var out []*Entry
	for key, e := range s.bad {
		if strings.HasPrefix(key, prefix) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *Entry) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Forget lets go of what cannot be read at key, which has been deleted at revision: what has vanished from the store before
// makes no event when it is deleted.
func (c *Cache) Forget(key string, revision int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.mu.bad[key]; e == nil || e.Revision != revision {
		return
	}
	c.setBadLocked(key, nil)
	c.retainLocked(c.revision.Load(), time.Now())
	c.publishLocked(c.revision.Load())
}
