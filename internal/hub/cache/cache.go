package cache

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/store"

	"github.com/google/btree"
)

// Cache serves one stored kind. Make it with New.
type Cache struct {
	kind   *api.Kind
	prefix string
	st     store.Store
	log    *slog.Logger
	part   func(*Entry) string // the value of the kind's partition field; nil for kinds without one
	envs   atomic.Pointer[envelope]
	bounds *Bounds

	ready     chan struct{}
	current   atomic.Pointer[Snapshot] // nil before the first load
	revision  atomic.Int64             // of current; set after everything up to it can be read
	asked     atomic.Int64             // the revision that progress has been asked for
	refreshed atomic.Int64             // when refresh last ran, in Unix nanoseconds
	told      func()                   // see Tell; nil for nobody
	gone      atomic.Pointer[error]    // see EndWatches
	past      sync.Mutex               // held while a past state is read from the store; before mu

	mu struct {
		sync.Mutex
		byKey    *btree.BTreeG[*Entry]
		byPart   *btree.BTreeG[placed]
		log      *journal              // nil before the first load
		keys     map[string]*partition // by key
		parts    map[string]*partition // by value of the partition field
		retained []retained            // oldest first; the state of the newest is current's
		begins   int64                 // see ForgetBefore
		kept     []retained            // that somebody has asked for by revision, oldest first
		learned  map[int64]*Entry
		bad      map[string]*Entry // what cannot be read; never changed, only replaced
		advanced chan struct{}     // closed when revision grows; nil when nobody waits
	}
}

// New makes the cache of kind over st, within bounds that it may share with others. It does nothing until Run.
func New(kind *api.Kind, st store.Store, bounds *Bounds, log *slog.Logger) *Cache {
	c := &Cache{
		kind:   kind,
		bounds: bounds,
		prefix: kind.StoragePrefix(),
		st:     st,
		log:    log.With("component", "cache", "resource", kind.Resource),
		part:   partOf(kind),
		ready:  make(chan struct{}),
	}
	c.mu.keys, c.mu.parts = map[string]*partition{}, map[string]*partition{}
	c.mu.learned = map[int64]*Entry{}
	return c
}

// Tell has f called whenever the cache has learnt of writes, before anybody can read them here. It is called before Run; f must be
// quick.
func (c *Cache) Tell(f func()) { c.told = f }

// Ready is closed when the first load is done.
func (c *Cache) Ready() <-chan struct{} { return c.ready }

// Kind is the kind it serves.
func (c *Cache) Kind() *api.Kind { return c.kind }

// Store is where the kind's objects are kept, and written to.
func (c *Cache) Store() store.Store { return c.st }

// Newest returns a snapshot that holds everything that was acknowledged before the call.
func (c *Cache) Newest(ctx context.Context) (*Snapshot, error) {
	rev, err := c.Current(ctx)
	if err != nil {
		return nil, err
	}
	if s := c.current.Load(); s != nil && s.Revision >= rev {
		return s, nil
	}
	for {
		s, err := c.within(ctx, currentFor, rev)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		now, err := c.Current(ctx)
		if err != nil {
			return nil, err
		}
		rev = min(rev, now) // less than before when the store has failed meanwhile
	}
}

// currentFor is how long a reader waits for a revision before it asks whether that is still the one to wait for.
const currentFor = time.Second

func (c *Cache) within(ctx context.Context, limit time.Duration, rev int64) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.Snapshot(ctx, rev)
}

// Estimate is how many objects there are, and about the size of one in bytes; nothing before the cache is loaded.
func (c *Cache) Estimate() (objects, size int64) {
	if s := c.current.Load(); s != nil {
		return s.Estimate()
	}
	return 0, 0
}

// Current is the revision that "most recent" means now, see store.Store's Revision. Pass it to Snapshot.
func (c *Cache) Current(ctx context.Context) (int64, error) {
	rev, err := c.st.Revision(ctx, c.prefix)
	if err != nil {
		return 0, fmt.Errorf("current revision of %s: %w", c.prefix, err)
	}
	return rev, nil
}

// askAgain is how long a waiting reader gives the store to answer a request for progress before it asks once more: a
// store may drop one while it is delivering events.
const askAgain = 100 * time.Millisecond

// Snapshot returns the newest snapshot whose revision is at least min, waiting for it if needed (the caller's ctx bounds
// the wait). min 0 takes what is there.
func (c *Cache) Snapshot(ctx context.Context, min int64) (*Snapshot, error) {
	if s := c.current.Load(); s != nil && s.Revision >= min {
		return s, nil
	}
	timer := time.NewTimer(askAgain)
	defer timer.Stop()
	for {
		advanced := c.advanced()
		s := c.current.Load()
		if s != nil && s.Revision >= min {
			return s, nil
		}
		if s != nil && c.raiseAsked(min) {
			if err := c.st.RequestProgress(ctx, c.prefix); err != nil && ctx.Err() == nil {
				c.log.Debug("progress request failed", "error", err)
			}
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s to reach revision %d: %w", c.prefix, min, ctx.Err())
		case <-timer.C:
			c.asked.Store(0)
			timer.Reset(askAgain)
		}
	}
}

// How often an idle kind catches up with the store for the sake of bookmarks, and how long it tries.
const (
	refreshEvery = 5 * time.Second
	refreshIn    = time.Second
)

// refresh lets the cache reach the store's revision, unless it has done so a moment ago. A client that is told by bookmarks
// only of the kind's own last change would be too far back to resume when the hub has been restarted.
func (c *Cache) refresh(ctx context.Context) {
	now, last := time.Now().UnixNano(), c.refreshed.Load()
	if now-last < int64(refreshEvery) || !c.refreshed.CompareAndSwap(last, now) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, refreshIn)
	defer cancel()
	if rev, err := c.Current(ctx); err == nil {
		_, _ = c.Snapshot(ctx, rev) // late is as good as never: the next one will do
	}
}

// raiseAsked reports whether progress up to min has not been asked for yet, and notes that it is now.
func (c *Cache) raiseAsked(min int64) bool {
	for {
		asked := c.asked.Load()
		if asked >= min {
			return false
		}
		if c.asked.CompareAndSwap(asked, min) {
			return true
		}
	}
}

// advanced returns a channel that is closed when the revision next grows.
func (c *Cache) advanced() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.advanced == nil {
		c.mu.advanced = make(chan struct{})
	}
	return c.mu.advanced
}

// Learn hands over what this process has just written at revision, so that the feed need not decode it. obj is given
// away: Learn sets its resourceVersion, apiVersion and kind, and from then on it is frozen. The entry becomes visible only
// when the store's watch reaches its revision; it is returned for the answer to the writer.
func (c *Cache) Learn(key string, revision int64, stored []byte, obj api.Object) *Entry {
	e := written(c.kind, &c.envs, c.bounds, key, revision, stored, obj)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.log == nil || revision > c.revision.Load() {
		c.mu.learned[revision] = e
		return e
	}
	// The feed was faster. What it made is what others share.
	if have, ok := c.mu.byKey.Get(e); ok && have.Revision == revision {
		have.mu.Lock()
		defer have.mu.Unlock()
		if have.Decoded() == nil {
			have.keep(obj)
		}
		return have
	}
	return e
}
