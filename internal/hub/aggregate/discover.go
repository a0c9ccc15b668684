package aggregate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxDocument is how large a document of somebody else's may be, in bytes.
const maxDocument = 16 << 20

// found is what a server last said that it serves of a group version. It never changes.
type found struct {
	discovery apidiscoveryv2.APIVersionDiscovery
	etag      string // of the document that it was taken from; "" for none
}

// empty is what clients are told of a version of which nothing is known: that it exists.
func empty(version string) apidiscoveryv2.APIVersionDiscovery {
	return apidiscoveryv2.APIVersionDiscovery{Version: version, Freshness: apidiscoveryv2.DiscoveryFreshnessStale}
}

// learn asks the server what it serves, and reports whether that is known. What was known of one that does not answer stays, as stale.
func (r *remote) learn(ctx context.Context, at *reach, answers bool) bool {
	was := r.found.Load()
	next := *was
	fresh := false
	if answers {
		ctx, cancel := context.WithTimeout(ctx, tryIn)
		defer cancel()
		now, err := r.discover(ctx, at, was)
		if fresh = err == nil; fresh {
			next = *now
		} else {
			r.of.cfg.Log.Debug("discovery", "apiservice", r.name, "error", err)
		}
	}
	next.discovery.Freshness = apidiscoveryv2.DiscoveryFreshnessStale
	if fresh {
		next.discovery.Freshness = apidiscoveryv2.DiscoveryFreshnessCurrent
	}
	if reflect.DeepEqual(&next, was) {
		return fresh
	}
	tell := !reflect.DeepEqual(next.discovery, was.discovery)
	r.found.Store(&next)
	if tell {
		r.learned.Store(true)
		kick(r.of.due)
	}
	return fresh
}

// discover reads the server's aggregated document or, of one that has none, that of the group version alone.
func (r *remote) discover(ctx context.Context, at *reach, was *found) (*found, error) {
	header := http.Header{"Accept": {"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"}}
	if was.etag != "" {
		header.Set("If-None-Match", was.etag)
	}
	resp, body, err := r.document(ctx, at, "/apis", header)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotModified:
		return was, nil
	case resp.StatusCode == http.StatusServiceUnavailable:
		return nil, fmt.Errorf("service %s/%s returned non-success response code: %d", r.by.Namespace, r.by.Name, resp.StatusCode)
	case resp.StatusCode == http.StatusOK && isAggregated(resp.Header.Get("Content-Type")):
		var list apidiscoveryv2.APIGroupDiscoveryList
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, err
		}
		return &found{discovery: ofVersion(&list, r.gv), etag: resp.Header.Get("Etag")}, nil
	}
	resp, body, err = r.document(ctx, at, "/apis/"+r.gv.Group+"/"+r.gv.Version, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, err
	}
	var list metav1.APIResourceList
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("failed to download legacy discovery for %s: %d", r.gv, resp.StatusCode)
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	return &found{discovery: fromLegacy(r.gv, list.APIResources)}, nil
}

// document reads a document whole.
func (r *remote) document(ctx context.Context, at *reach, path string, header http.Header) (*http.Response, []byte, error) {
	resp, _, err := r.ask(ctx, at, path, header)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err == nil && len(body) > maxDocument {
		err = fmt.Errorf("%s: more than %d bytes", path, maxDocument)
	}
	return resp, body, err
}

func isAggregated(contentType string) bool {
	_, p, err := mime.ParseMediaType(contentType)
	return err == nil && p["g"] == apidiscoveryv2.GroupName && p["v"] == "v2" && p["as"] == "APIGroupDiscoveryList"
}

// ofVersion picks a group version. Clients of old fail at a missing kind, so that an empty one stands there.
func ofVersion(list *apidiscoveryv2.APIGroupDiscoveryList, gv schema.GroupVersion) apidiscoveryv2.APIVersionDiscovery {
	for _, g := range list.Items {
		for _, v := range g.Versions {
			if g.Name != gv.Group || v.Version != gv.Version {
				continue
			}
			for i := range v.Resources {
				res := &v.Resources[i]
				if res.ResponseKind == nil {
					res.ResponseKind = &metav1.GroupVersionKind{}
				}
				for j := range res.Subresources {
					if res.Subresources[j].ResponseKind == nil {
						res.Subresources[j].ResponseKind = &metav1.GroupVersionKind{}
					}
				}
			}
			return v
		}
	}
	return empty(gv.Version)
}

// fromLegacy turns the plain list of a group version, in which subresources stand beside resources, into the aggregated form.
func fromLegacy(gv schema.GroupVersion, list []metav1.APIResource) apidiscoveryv2.APIVersionDiscovery {
	out := apidiscoveryv2.APIVersionDiscovery{Version: gv.Version}
	at := map[string]int{}
	place := func(name string, namespaced bool) *apidiscoveryv2.APIResourceDiscovery {
		i, ok := at[name]
		if !ok {
			i = len(out.Resources)
			at[name] = i
			scope := apidiscoveryv2.ScopeCluster
			if namespaced {
				scope = apidiscoveryv2.ScopeNamespace
			}
			out.Resources = append(out.Resources, apidiscoveryv2.APIResourceDiscovery{Resource: name, Scope: scope, ResponseKind: &metav1.GroupVersionKind{}})
		}
		return &out.Resources[i]
	}
	for _, res := range list {
		kind := &metav1.GroupVersionKind{Group: res.Group, Version: res.Version, Kind: res.Kind}
		parent, sub, isSub := strings.Cut(res.Name, "/")
		d := place(parent, res.Namespaced)
		if isSub {
			d.Subresources = append(d.Subresources, apidiscoveryv2.APISubresourceDiscovery{Subresource: sub, ResponseKind: kind, Verbs: res.Verbs})
			continue
		}
		d.ResponseKind, d.SingularResource, d.Verbs, d.ShortNames, d.Categories = kind, res.SingularName, res.Verbs, res.ShortNames, res.Categories
	}
	return out
}
