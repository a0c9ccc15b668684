package clienttest

import (
	"context"
	"errors"

	"sampan.dev/internal/client"
)

// served asks what is served, and for a change that does not come.
func served(v *visit) {
	d, ok := v.Interface.(client.Discoverer)
	if !ok {
		v.Fatalf("%T does not tell what is served", v.Interface)
	}
	kinds, err := d.Served(v.ctx, nil)
	if err != nil {
		v.Fatal(err)
	}
	maps, nodes, reviews := kinds.Resource(client.ConfigMaps), kinds.Resource(client.Nodes), kinds.Resource(client.TokenReviews)
	switch {
	case maps == nil || maps.Kind != "ConfigMap" || !maps.Namespaced || maps.Virtual || maps.View != nil || !maps.Can("watch"):
		v.Errorf("config maps: %+v", maps)
	case nodes == nil || nodes.Namespaced || nodes.Sub("status") == nil:
		v.Errorf("nodes: %+v", nodes)
	case reviews == nil || !reviews.Virtual || reviews.Can("list"):
		v.Errorf("token reviews: %+v", reviews)
	}
	ctx, cancel := context.WithCancel(v.ctx)
	cancel()
	if _, err := d.Served(ctx, kinds); !errors.Is(err, context.Canceled) {
		v.Errorf("no change, and the caller has gone: %v", err)
	}
}
