package catalog

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/store"
)

// DefaultIdle is how long a cache that nobody reads stays.
const DefaultIdle = 5 * time.Minute

// Config says what is served at first, and how caches are made. Kinds, StoreOf and Log are needed.
type Config struct {
	Kinds   []*api.Kind
	StoreOf func(*api.Kind) store.Store // where a kind's objects are kept
	Tell    func(*api.Kind) func()      // whom writes of a kind's objects are told to, before they are answered; nil: of none, and for no kind
	Eager   func(*api.Kind) bool        // reports that the kind's cache runs as long as the kind is served, if it has objects at first; nil: of none
	Bounds  *cache.Bounds
	Idle    time.Duration // zero: DefaultIdle
	Log     *slog.Logger
}

// Catalog is what is served. It is safe for concurrent use: readers load a snapshot, and those who change it take turns.
type Catalog struct {
	cfg     Config
	current atomic.Pointer[Snapshot]

	mu struct {
		sync.Mutex
		changed chan struct{} // closed by the next change
		waiting []*life       // started before Run
		run     func(*life)   // runs a cache; nil before Run
	}
}

// New makes a catalog. Caches run while Run does.
func New(cfg Config) (*Catalog, error) {
	if cfg.Idle == 0 {
		cfg.Idle = DefaultIdle
	}
	c := &Catalog{cfg: cfg}
	c.current.Store(newSnapshot(nil, nil))
	c.mu.changed = make(chan struct{})
	return c, c.Add(cfg.Kinds...)
}

// Now is what is served now.
func (c *Catalog) Now() *Snapshot { return c.current.Load() }

// Changed returns a channel that is closed when something else is served than Now said after the call.
func (c *Catalog) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.changed
}

// Add serves more kinds. Those that are views of a stored kind come with it or after it. It fails, and changes nothing, when a
// resource is served already or the kind that a view is of is not.
func (c *Catalog) Add(kinds ...*api.Kind) error {
	return c.add(c.fresh(kinds))
}

// fresh makes the resources of kinds that have not been served before.
func (c *Catalog) fresh(kinds []*api.Kind) []*Resource {
	fresh := make([]*Resource, len(kinds))
	for i, k := range kinds {
		fresh[i] = &Resource{Kind: k}
		if !k.Virtual && k.View == nil {
			s := &Stored{kind: k, st: c.cfg.StoreOf(k), of: c}
			if c.cfg.Tell != nil {
				s.told = c.cfg.Tell(k)
			}
			s.keep = c.cfg.Eager != nil && c.cfg.Eager(k) && !s.Empty()
			fresh[i].stored = s
		}
	}
	return fresh
}

// AddBackend serves kinds that backend answers for. Of them nothing is stored here.
func (c *Catalog) AddBackend(backend http.Handler, kinds ...*api.Kind) error {
	fresh := make([]*Resource, len(kinds))
	for i, k := range kinds {
		fresh[i] = &Resource{Kind: k, backend: backend}
	}
	return c.add(fresh)
}

func (c *Catalog) add(fresh []*Resource) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addLocked(c.Now().resources(), fresh)
}

// addLocked serves what is in left and what is fresh.
func (c *Catalog) addLocked(left, fresh []*Resource) error {
	next := newSnapshot(slices.Concat(left, fresh), c.Now().others())
	for _, r := range fresh {
		if next.Resource(r.Kind.GVR()) != r || len(next.byGVR) != len(left)+len(fresh) {
			return fmt.Errorf("%s is served already", r.Kind.GVR())
		}
		if r.Kind.View == nil || r.backend != nil || r.stored != nil {
			continue
		}
		of := next.Resource(r.Kind.View.Stored)
		if of == nil || of.stored == nil {
			return fmt.Errorf("%s is a view of %s, which is not stored", r.Kind.GVR(), r.Kind.View.Stored)
		}
		r.stored = of.stored
	}
	c.swapLocked(next)
	for _, r := range fresh {
		if r.stored != nil && r.Kind.View == nil && r.stored.Eager() {
			r.stored.mu.Lock()
			r.stored.startLocked(c.mu.run, &c.mu.waiting) // held for good: nobody releases it but Remove
			r.stored.mu.Unlock()
		}
	}
	return nil
}

// Remove serves kinds no longer, views together with what they are views of. What is stored of them stays in the store. Requests
// under way finish; watches end and say why. It returns when they have and the caches have stopped, or with ctx.
func (c *Catalog) Remove(ctx context.Context, kinds ...*api.Kind) error {
	c.mu.Lock()
	left, gone, err := c.withoutLocked(kinds)
	if err == nil {
		c.swapLocked(newSnapshot(left, c.Now().others()))
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return drain(ctx, gone, cache.ErrGone)
}

// withoutLocked is what is left without kinds, and where the objects of those are kept that go.
func (c *Catalog) withoutLocked(kinds []*api.Kind) (left []*Resource, gone []*Stored, err error) {
	if len(kinds) == 0 {
		return c.Now().resources(), nil, nil
	}
	for _, r := range c.Now().resources() {
		switch {
		case !slices.Contains(kinds, r.Kind):
			left = append(left, r)
		case r.stored != nil && r.Kind.View == nil:
			gone = append(gone, r.stored)
		}
	}
	for _, r := range left {
		if r.stored != nil && slices.Contains(gone, r.stored) {
			return nil, nil, fmt.Errorf("%s is still a view of %s", r.Kind.GVR(), r.stored.kind.GVR())
		}
	}
	return left, gone, nil
}

// drain ends what there is of kinds that are no longer served.
func drain(ctx context.Context, gone []*Stored, why error) error {
	for _, s := range gone {
		if err := s.remove(ctx, why); err != nil {
			return err
		}
	}
	return nil
}

// Replace serves fresh kinds in place of others, either of which may be none, at one stroke. Watches of those that go end as if
// their time were over. The function that it returns waits until requests under way have finished and the caches have stopped, or
// for ctx; it is to be called.
func (c *Catalog) Replace(old, fresh []*api.Kind) (func(ctx context.Context) error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left, gone, err := c.withoutLocked(old)
	if err != nil {
		return nil, err
	}
	if err := c.addLocked(left, c.fresh(fresh)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return drain(ctx, gone, cache.ErrReplaced) }, nil
}

// Rename puts other descriptions in the place of kinds that stay what they are: fresh[i] has the group, version, resource and
// codec of old[i]. Caches and watches go on.
func (c *Catalog) Rename(old, fresh []*api.Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.Now().resources())
	for i, r := range list {
		if at := slices.Index(old, r.Kind); at >= 0 {
			list[i] = &Resource{Kind: fresh[at], stored: r.stored, backend: r.backend}
		}
	}
	c.swapLocked(newSnapshot(list, c.Now().others()))
}

// touch serves the same once more, for those who wait for a change: a kind has got its first object.
func (c *Catalog) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.swapLocked(newSnapshot(c.Now().resources(), c.Now().others()))
}

func (c *Catalog) swapLocked(next *Snapshot) {
	c.current.Store(next)
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
}

// Run runs the caches until ctx ends, and returns when all of them have ended.
func (c *Catalog) Run(ctx context.Context) error {
	var running sync.WaitGroup
	c.mu.Lock()
	c.mu.run = func(l *life) { running.Go(func() { l.run(ctx) }) }
	for _, l := range c.mu.waiting {
		c.mu.run(l)
	}
	c.mu.waiting = nil
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	c.mu.run = nil
	c.mu.Unlock()
	running.Wait()
	return nil
}

// Running are the caches that run now.
func (c *Catalog) Running() []*cache.Cache {
	var out []*cache.Cache
	for _, r := range c.Now().resources() {
		if r.stored == nil || r.Kind.View != nil {
			continue
		}
		if l := r.stored.life.Load(); l != nil {
			out = append(out, l.cache)
		}
	}
	return out
}

// Count tells how many objects there are of each stored kind, and how many of them cannot be read: what the caches that run have,
// and of other kinds what the store says, which knows nothing of the latter.
func (c *Catalog) Count(ctx context.Context, fn func(kind *api.Kind, objects, bad int)) {
	for _, r := range c.Now().resources() {
		if r.stored == nil || r.Kind.View != nil {
			continue
		}
		if l := r.stored.life.Load(); l != nil {
			select {
			case <-l.cache.Ready():
			default:
				continue
			}
			if snap, err := l.cache.Snapshot(ctx, 0); err == nil { // ready: does not wait
				fn(r.Kind, snap.Len(r.Kind.StoragePrefix()), len(snap.Bad("")))
			}
		} else if r.stored.Empty() {
			fn(r.Kind, 0, 0)
		} else if l, err := r.stored.st.List(ctx, store.Page{Prefix: r.Kind.StoragePrefix(), Limit: 1}); err == nil {
			fn(r.Kind, int(l.Count), 0)
		}
	}
}
