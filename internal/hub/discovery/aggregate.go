package discovery

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"net/http"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/wire"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// aggregate is an aggregated document: all groups, versions and resources in one.
type aggregate struct {
	list *apidiscoveryv2.APIGroupDiscoveryList
	json []byte
	etag string
}

func newAggregate(list *apidiscoveryv2.APIGroupDiscoveryList) *aggregate {
	list.TypeMeta = metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"}
	data, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings only
	}
	return &aggregate{list: list, json: append(data, '\n'), etag: fmt.Sprintf("%q", fmt.Sprintf("%X", sha512.Sum512(data)))}
}

func aggregatedVersion(v string, kinds []*api.Kind) apidiscoveryv2.APIVersionDiscovery {
	out := apidiscoveryv2.APIVersionDiscovery{Version: v, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
	for _, k := range kinds {
		r := apidiscoveryv2.APIResourceDiscovery{
			Resource: k.Resource, SingularResource: k.Singular, Scope: apidiscoveryv2.ScopeCluster, Verbs: verbsOf(k),
			ShortNames: k.ShortNames, Categories: k.Categories, ResponseKind: &metav1.GroupVersionKind{Kind: k.Kind},
		}
		if k.Namespaced {
			r.Scope = apidiscoveryv2.ScopeNamespace
		}
		if k.Versions != nil { // upstream writes those of custom resources in full
			r.ResponseKind.Group, r.ResponseKind.Version = k.Group, k.Version
		}
		for _, s := range subsOf(k) {
			kind := responseKind(k, s)
			if k.Versions != nil && kind.Group == "" {
				kind.Group, kind.Version = k.Group, k.Version
			}
			r.Subresources = append(r.Subresources, apidiscoveryv2.APISubresourceDiscovery{
				Subresource: s.Name, Verbs: s.Verbs,
				ResponseKind: &metav1.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind},
			})
		}
		out.Resources = append(out.Resources, r)
	}
	return out
}

// send answers with the aggregated document, or with 304 when the client has it.
func (a *aggregate) send(w http.ResponseWriter, r *http.Request, out wire.Output) error {
	w.Header().Set("ETag", a.etag)
	w.Header().Set("Cache-Control", "public")
	if match := r.Header.Get("If-None-Match"); match == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	const as = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	if out.Format == wire.Proto {
		return wire.SendProto(w, r, wire.TypeProto+as, a.list.GroupVersionKind(), a.list)
	}
	return wire.SendBytes(w, r, wire.TypeJSON+as, a.json)
}
