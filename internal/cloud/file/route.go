package file

import (
	"context"
	"fmt"
	"slices"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// route is a line of routes.json.
type route struct {
	Name      string               `json:"name"`
	Range     string               `json:"destinationCIDR"`
	Node      string               `json:"targetNode"`
	Addresses []corev1.NodeAddress `json:"targetNodeAddresses,omitempty"`
}

// routes implements cloud.Routes.
type routes struct{ *sky }

// ListRoutes implements cloud.Routes.
func (s routes) ListRoutes(context.Context, string) ([]*cloud.Route, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*cloud.Route
	for _, r := range s.mu.routes {
		out = append(out, &cloud.Route{Name: r.Name, TargetNode: types.NodeName(r.Node), EnableNodeAddresses: true,
			TargetNodeAddresses: r.Addresses, DestinationCIDR: r.Range})
	}
	return out, nil
}

// CreateRoute implements cloud.Routes.
func (s routes) CreateRoute(_ context.Context, cluster, hint string, r *cloud.Route) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.mu.doc.Routes; d != nil && d.Limit != nil && len(s.mu.routes) >= *d.Limit {
		return fmt.Errorf("%s allows for %d routes", s.path, *d.Limit)
	}
	next := append(slices.Clone(s.mu.routes), route{Name: cluster + "-" + hint, Range: r.DestinationCIDR, Node: string(r.TargetNode), Addresses: r.TargetNodeAddresses})
	return s.setRoutesLocked(next)
}

// DeleteRoute implements cloud.Routes.
func (s routes) DeleteRoute(_ context.Context, _ string, r *cloud.Route) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setRoutesLocked(slices.DeleteFunc(slices.Clone(s.mu.routes), func(have route) bool {
		return have.Name == r.Name && have.Range == r.DestinationCIDR && have.Node == string(r.TargetNode)
	}))
}

func (s routes) setRoutesLocked(next []route) error {
	slices.SortFunc(next, func(a, b route) int { return compare(a.Range, b.Range) })
	if err := keep(s.beside("routes.json"), next); err != nil {
		return err
	}
	s.mu.routes = next
	return nil
}
