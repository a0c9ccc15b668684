package gc

import (
	"context"
	"log/slog"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// World is a view of the metadata of every stored kind that can be listed, watched, deleted and owned.
type World struct {
	kinds     *api.Kinds
	informers map[schema.GroupVersionResource]*cache.Informer[api.Object]
}

// NewWorld makes a view over a door that may read everything. It does nothing until Run.
func NewWorld(kinds *api.Kinds, door client.Reader, log *slog.Logger) *World {
	w := &World{kinds: kinds, informers: map[schema.GroupVersionResource]*cache.Informer[api.Object]{}}
	for _, k := range kinds.All() {
		if watched(k) {
			w.informers[k.GVR()] = cache.New[api.Object](door, k.GVR(), cache.Options{Metadata: true}, log)
		}
	}
	return w
}

// watched excludes what cannot be owned, and views, which would show the same objects twice.
func watched(k *api.Kind) bool {
	return !k.Virtual && k.View == nil && !k.Unowned && k.Can("list") && k.Can("watch") && k.Can("delete")
}

// Run watches until ctx ends.
func (w *World) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, i := range w.informers {
		group.Go(func() error { return i.Run(ctx) })
	}
	return group.Wait()
}

func (w *World) synced() []<-chan struct{} {
	var out []<-chan struct{}
	for _, i := range w.informers {
		out = append(out, i.Synced())
	}
	return out
}
