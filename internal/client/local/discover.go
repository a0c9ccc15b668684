package local

import (
	"context"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var _ client.Discoverer = (*Door)(nil)

// Served implements client.Discoverer.
func (d *Door) Served(ctx context.Context, after *api.Kinds) (*api.Kinds, error) {
	ended, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.cfg.WhenEnded != nil {
		defer d.cfg.WhenEnded(cancel)()
	}
	for {
		changed := d.cfg.Catalog.Changed()
		if now := d.cfg.Catalog.Now().Kinds(); now != after {
			return now, nil
		}
		select {
		case <-changed:
		case <-ended.Done():
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nil, apierrors.NewServiceUnavailable("the hub has ended")
		}
	}
}

var _ client.Sparse = (*Door)(nil)

// Empty implements client.Sparse.
func (d *Door) Empty(r schema.GroupVersionResource) bool {
	served := d.cfg.Catalog.Now().Resource(r)
	return served != nil && served.Stored() != nil && served.Stored().Empty()
}
