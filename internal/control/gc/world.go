package gc

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// askAgain is how long World waits when it could not learn what is served.
const askAgain = time.Second

// World is a view of the metadata of every stored kind that can be listed, watched, deleted and owned. It follows what is
// served: a kind that comes is watched from when it has an object, where the client can tell, and one that goes no longer. Run owns the informers; others see them through mu.
type World struct {
	door     client.Reader
	built    *api.Kinds // what this program knows of kinds besides what discovery tells
	log      *slog.Logger
	handlers []func(*api.Kind) cache.Handler[api.Object] // before Run
	synced   chan struct{}                               // closed when what was served at first is in view

	awaited   map[schema.GroupVersionResource]bool // before Run: what somebody waits for the first object of
	onlyFirst bool                                 // before Run: nothing else is watched

	mu struct {
		sync.RWMutex
		kinds   *api.Kinds
		watched map[schema.GroupVersionResource]*watching
	}
}

// watching is one kind that is watched.
type watching struct {
	kind     *api.Kind
	informer *cache.Informer[api.Object]
	end      context.CancelFunc
	ended    chan struct{}
}

// NewWorld makes a view over a client that may read everything. It does nothing until Run. A client that is no
// client.Discoverer is taken to serve the kinds that are given, always.
func NewWorld(kinds *api.Kinds, door client.Reader, log *slog.Logger) *World {
	w := &World{door: door, built: kinds, log: log, synced: make(chan struct{})}
	w.mu.kinds, w.mu.watched = kinds, map[schema.GroupVersionResource]*watching{}
	return w
}

// handle has every watched kind's informer call the handler that of makes for it. It must be called before Run.
func (w *World) handle(of func(*api.Kind) cache.Handler[api.Object]) {
	w.handlers = append(w.handlers, of)
}

// First calls start when there is an object of one of the resources, of those that like (nil: any) is true of by their metadata, and
// again for each further one. It must be called before Run.
func (w *World) First(resources []schema.GroupVersionResource, like func(api.Object) bool, start func()) {
	if len(resources) == 0 {
		return
	}
	if w.awaited == nil {
		w.awaited = map[schema.GroupVersionResource]bool{}
	}
	for _, r := range resources {
		w.awaited[r] = true
	}
	w.handle(func(k *api.Kind) cache.Handler[api.Object] {
		if !slices.Contains(resources, k.GVR()) {
			return cache.Handler[api.Object]{}
		}
		if like == nil {
			return cache.Handler[api.Object]{Add: func(api.Object) { start() }}
		}
		look := func(obj api.Object) {
			if like(obj) {
				start()
			}
		}
		return cache.Handler[api.Object]{Add: look, Update: func(_, obj api.Object) { look(obj) }}
	})
}

// OnlyFirst says that nobody needs more of the world than First does. It must be called before Run.
func (w *World) OnlyFirst() { w.onlyFirst = true }

// Kinds are the kinds that are served now, those of others among them.
func (w *World) Kinds() *api.Kinds { return w.served() }

// watches reports whether a kind is watched: not what cannot be owned, and not views, which would show the same objects twice.
func (w *World) watches(k *api.Kind) bool {
	if w.onlyFirst && !w.awaited[k.GVR()] {
		return false
	}
	unowned, view := k.Unowned, k.View != nil
	if known := w.built.Resource(k.GVR()); known != nil {
		unowned, view = known.Unowned, known.View != nil
	}
	return !k.Virtual && !view && !unowned && k.Can("list") && k.Can("watch") && k.Can("delete")
}

// served is what is served now.
func (w *World) served() *api.Kinds {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.mu.kinds
}

// Serves tells which version of a resource is served; ok is false for one that is not, or that has no objects of its own.
func (w *World) Serves(r schema.GroupResource) (gvr schema.GroupVersionResource, ok bool) {
	for _, k := range w.served().All() {
		if k.GR() == r && !k.Virtual && k.View == nil && k.Can("list") && k.Can("watch") {
			return k.GVR(), true
		}
	}
	return gvr, false
}

// Resources returns the resources that a kind is served as, in all versions.
func (w *World) Resources(kind schema.GroupKind) (out []schema.GroupVersionResource) {
	for _, k := range w.served().All() {
		if k.GVK().GroupKind() == kind {
			out = append(out, k.GVR())
		}
	}
	return out
}

// isWatched reports whether the objects of a resource are in view.
func (w *World) isWatched(r schema.GroupVersionResource) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.mu.watched[r] != nil
}

// owned lists the kinds whose objects are in view, with those that had none when the view was last brought up to date.
func (w *World) owned() []*api.Kind {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []*api.Kind
	for _, k := range w.mu.kinds.All() {
		if w.watches(k) {
			out = append(out, k)
		}
	}
	return out
}

// Run watches until ctx ends.
func (w *World) Run(ctx context.Context) error {
	defer w.follow(ctx, api.NewKinds(nil))
	discoverer, ok := w.door.(client.Discoverer)
	if !ok {
		w.follow(ctx, w.built)
		w.awaitFirst(ctx)
		<-ctx.Done()
		return nil
	}
	var known *api.Kinds
	for {
		kinds, err := discoverer.Served(ctx, known)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.log.Debug("what is served is not known", "error", err)
			sleep(ctx, askAgain)
			continue
		}
		w.follow(ctx, kinds)
		if known == nil {
			w.awaitFirst(ctx)
		}
		known = kinds
	}
}

// follow watches what is served, and nothing else any more.
func (w *World) follow(ctx context.Context, kinds *api.Kinds) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(kinds.All()) > 0 {
		w.mu.kinds = kinds
	}
	for r, v := range w.mu.watched {
		if k := kinds.Resource(r); k == nil || !w.watches(k) {
			v.end()
			<-v.ended
			delete(w.mu.watched, r)
		}
	}
	for _, k := range kinds.All() {
		if w.mu.watched[k.GVR()] == nil && w.watches(k) && !client.IsEmpty(w.door, k.GVR()) {
			w.mu.watched[k.GVR()] = w.watch(ctx, k)
		}
	}
}

// watch starts to watch a kind.
func (w *World) watch(ctx context.Context, k *api.Kind) *watching {
	v := &watching{kind: k, informer: cache.New[api.Object](w.door, k.GVR(), cache.Options{Metadata: true}, w.log), ended: make(chan struct{})}
	for _, of := range w.handlers {
		v.informer.Handle(of(k))
	}
	ctx, v.end = context.WithCancel(ctx)
	go func() {
		defer close(v.ended)
		v.informer.Run(ctx) //nolint:errcheck // it ends with ctx only
	}()
	return v
}

// awaitFirst tells those who wait for the view that it is complete, once it is.
func (w *World) awaitFirst(ctx context.Context) {
	w.mu.RLock()
	var all []*watching
	for _, v := range w.mu.watched {
		all = append(all, v)
	}
	w.mu.RUnlock()
	for _, v := range all {
		select {
		case <-v.informer.Synced():
		case <-ctx.Done():
			return
		}
	}
	close(w.synced)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
