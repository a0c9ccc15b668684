package catalog

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/store"
)

// Stored is a kind that is kept in a store. It has a watch cache while somebody reads it, and one after another when there are
// breaks between.
type Stored struct {
	kind *api.Kind
	st   store.Store
	of   *Catalog
	told func()               // is told of writes; nil for nobody
	keep bool                 // see Eager
	life atomic.Pointer[life] // that of the cache that runs; nil when none does
	has  atomic.Int32         // objects: unknown, none, some

	mu struct {
		sync.Mutex // held while a cache is started; after Catalog.mu
		removed    bool
	}
}

// Kind is the kind as it is stored.
func (s *Stored) Kind() *api.Kind { return s.kind }

// Store is where the objects are.
func (s *Stored) Store() store.Store { return s.st }

// Eager reports whether a cache runs as long as the kind is served, rather than while somebody reads it: of those kinds that the
// catalog was told to keep one for and that had objects when they began to be served.
func (s *Stored) Eager() bool { return s.keep }

// What is known of the objects of a kind.
const (
	unknown int32 = iota
	none          // there are none, and whoever makes the first says so before
	some          // there were some
)

// askIn is how long the store has for saying whether there are objects.
const askIn = 5 * time.Second

// Empty reports whether there are no objects. It need not know: a store that others write to as well is never taken to be empty.
func (s *Stored) Empty() bool {
	switch s.has.Load() {
	case none:
		return true
	case some:
		return false
	}
	if !store.IsSole(s.st) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), askIn)
	defer cancel()
	l, err := s.st.List(ctx, store.Page{Prefix: s.kind.StoragePrefix(), Limit: 1})
	switch {
	case err != nil:
		return false
	case l.Count > 0 || len(l.KVs) > 0:
		s.has.Store(some)
		return false
	}
	return s.has.CompareAndSwap(unknown, none) || s.has.Load() == none
}

// Idle reports whether there are no objects and no cache runs, so that a reader need not start one to learn that.
func (s *Stored) Idle() bool { return s.life.Load() == nil && s.Empty() }

// Fill notes that there will be objects. It is called before the first is stored.
func (s *Stored) Fill() {
	if s.has.Load() != some && s.has.Swap(some) == none {
		s.of.touch()
	}
}

// Learn makes the entry of an object that has just been written, and hands it to the cache if one runs: to write asks for none.
// See cache.Cache's Learn.
func (s *Stored) Learn(key string, revision int64, value []byte, obj api.Object) *cache.Entry {
	s.Told()
	if l := s.life.Load(); l != nil {
		return l.cache.Learn(key, revision, value, obj)
	}
	return cache.Written(s.kind, key, revision, value, obj)
}

// Told says that an object has just been written or removed, to whoever wants to know of the kind's.
func (s *Stored) Told() {
	if s.told != nil {
		s.told()
	}
}

// Estimate is how many objects there are, and about the size of one in bytes; nothing while no cache runs. It waits for nobody.
func (s *Stored) Estimate() (objects, size int64) {
	if l := s.life.Load(); l != nil {
		return l.cache.Estimate()
	}
	return 0, 0
}

// Held is a watch cache that keeps running until it is released.
type Held struct{ life *life }

// Cache is the cache, which may still have to load.
func (h Held) Cache() *cache.Cache { return h.life.cache }

// Release lets go of it.
func (h Held) Release() {
	if h.life != nil {
		h.life.release()
	}
}

// Hold returns the kind's cache, which it starts if none runs. It reports false when the kind is no longer served.
func (s *Stored) Hold() (Held, bool) {
	if l := s.life.Load(); l != nil && l.hold() {
		return Held{l}, true
	}
	c := s.of
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.life.Load(); l != nil && l.hold() {
		return Held{l}, true
	}
	if s.mu.removed {
		return Held{}, false
	}
	return Held{s.startLocked(c.mu.run, &c.mu.waiting)}, true
}

// startLocked starts a cache, which is held once: by run, or by who calls run later for those that wait.
func (s *Stored) startLocked(run func(*life), waiting *[]*life) *life {
	c := cache.New(s.kind, s.st, s.of.cfg.Bounds, s.of.cfg.Log)
	c.Tell(s.told)
	until, end := context.WithCancel(context.Background())
	l := &life{cache: c, of: s, end: end, ended: make(chan struct{}), feed: func() error { return c.Run(until) }}
	l.held.Store(1)
	s.life.Store(l)
	if run != nil {
		run(l)
	} else {
		*waiting = append(*waiting, l)
	}
	return l
}

// remove ends what there is of a kind that is no longer served, when requests under way have finished; why is what watches end with.
func (s *Stored) remove(ctx context.Context, why error) error {
	s.mu.Lock()
	s.mu.removed = true
	l := s.life.Load()
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	l.last.Store(true)
	l.cache.EndWatches(why)
	if s.Eager() {
		l.release() // what Add has held
	} else if l.held.CompareAndSwap(0, over) {
		l.end()
	}
	select {
	case <-l.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// over is what held is once a cache stops: no number of holders makes it positive again.
const over = math.MinInt64 / 2

// life is one run of a kind's cache. The number of those who hold it decides: it can only end by going from none to over, and
// who finds it over starts another.
type life struct {
	cache *cache.Cache
	of    *Stored
	held  atomic.Int64
	last  atomic.Bool  // it ends as soon as nobody holds it
	free  atomic.Int64 // when nobody held it any more, in Unix nanoseconds
	armed atomic.Bool  // a timer will look whether somebody holds it; there is none while somebody does for long
	feed  func() error // blocks until end has been called
	end   func()       // is called by who has made held over, and when the hub ends
	ended chan struct{}
}

// hold reports whether it runs and will until release.
func (l *life) hold() bool {
	if l.held.Add(1) > 0 {
		return true
	}
	l.held.Add(-1)
	return false
}

func (l *life) release() {
	if l.held.Add(-1) != 0 {
		return
	}
	if l.last.Load() {
		if l.held.CompareAndSwap(0, over) {
			l.end()
		}
		return
	}
	l.free.Store(time.Now().UnixNano())
	l.arm(l.of.of.cfg.Idle)
}

func (l *life) arm(in time.Duration) {
	if l.armed.CompareAndSwap(false, true) {
		time.AfterFunc(in, l.look)
	}
}

// look ends it if nobody has held it for long enough.
func (l *life) look() {
	l.armed.Store(false)
	if l.held.Load() != 0 {
		return // whoever releases it arms the timer again
	}
	if left := l.of.of.cfg.Idle - time.Duration(time.Now().UnixNano()-l.free.Load()); left > 0 {
		l.arm(left)
		return
	}
	if l.held.CompareAndSwap(0, over) {
		l.end()
	}
}

// run runs the cache until its end, or that of ctx, which is the hub's: then it stays where it is for those who still read.
func (l *life) run(ctx context.Context) {
	defer close(l.ended)
	defer l.end()
	defer context.AfterFunc(ctx, l.end)()
	l.feed() //nolint:errcheck // there is none when it has been ended
	if ctx.Err() == nil {
		l.of.life.CompareAndSwap(l, nil)
		l.cache.Close()
	}
}
