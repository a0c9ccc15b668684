package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// askEvery is how often discovery is asked whether something else is served; upstream's garbage collector takes the same time.
const askEvery = 30 * time.Second

// aggregated asks for all groups, versions and resources in one document.
const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

var _ client.Discoverer = (*Door)(nil)

// Served implements client.Discoverer. There is no event for a change, so discovery is asked again and again while it blocks.
func (d *Door) Served(ctx context.Context, after *api.Kinds) (*api.Kinds, error) {
	for {
		kinds, err := d.discover(ctx)
		if err != nil || after == nil || !same(kinds, after) {
			return kinds, err
		}
		t := time.NewTimer(askEvery)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		}
	}
}

// discover reads what is served now.
func (d *Door) discover(ctx context.Context) (*api.Kinds, error) {
	var list []*api.Kind
	for _, path := range []string{"/api", "/apis"} {
		data, err := d.rest.Get().AbsPath(path).SetHeader("Accept", aggregated).Do(ctx).Raw()
		if err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
		var doc apidiscoveryv2.APIGroupDiscoveryList
		if err := json.Unmarshal(data, &doc); err != nil {
			return nil, fmt.Errorf("discovery of %s: %w", path, err)
		}
		for _, g := range doc.Items {
			for _, v := range g.Versions {
				if v.Freshness == apidiscoveryv2.DiscoveryFreshnessStale {
					continue // nobody answers for it now
				}
				for i := range v.Resources {
					list = append(list, KindOf(schema.GroupVersion{Group: g.Name, Version: v.Version}, &v.Resources[i]))
				}
			}
		}
	}
	markViews(list)
	return api.NewKinds(list), nil
}

// KindOf is what discovery says of a resource.
func KindOf(gv schema.GroupVersion, r *apidiscoveryv2.APIResourceDiscovery) *api.Kind {
	k := &api.Kind{
		Group: gv.Group, Version: gv.Version, Resource: r.Resource, Singular: r.SingularResource, ShortNames: r.ShortNames,
		Categories: r.Categories, Namespaced: r.Scope == apidiscoveryv2.ScopeNamespace, Verbs: r.Verbs,
	}
	if r.ResponseKind != nil {
		k.Kind = r.ResponseKind.Kind
	}
	k.Virtual = !k.Can("get")
	for _, s := range r.Subresources {
		sub := api.Subresource{Name: s.Subresource, Verbs: s.Verbs}
		if s.ResponseKind != nil && s.ResponseKind.Group != "" {
			sub.GVK = schema.GroupVersionKind(metav1.GroupVersionKind{Group: s.ResponseKind.Group, Version: s.ResponseKind.Version, Kind: s.ResponseKind.Kind})
		}
		k.Subresources = append(k.Subresources, sub)
	}
	return k
}

// markViews takes further versions of a group's resource for views of the first, which discovery names first because clients
// are to prefer it.
func markViews(list []*api.Kind) {
	first := map[schema.GroupResource]schema.GroupVersionResource{}
	for _, k := range list {
		if of, ok := first[k.GR()]; ok {
			k.View = &api.View{Stored: of}
		} else {
			first[k.GR()] = k.GVR()
		}
	}
}

// same reports whether two lists name the same kinds with the same verbs.
func same(a, b *api.Kinds) bool {
	if len(a.All()) != len(b.All()) {
		return false
	}
	for _, k := range a.All() {
		other := b.Resource(k.GVR())
		if other == nil || fmt.Sprint(k.Kind, k.Namespaced, k.Verbs) != fmt.Sprint(other.Kind, other.Namespaced, other.Verbs) {
			return false
		}
	}
	return true
}
