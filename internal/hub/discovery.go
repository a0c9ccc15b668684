package hub

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	apigroup "sampan.dev/internal/api/group"
	"sampan.dev/internal/hub/wire"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

var noResource schema.GroupResource

// documents are the discovery documents, made once: what is served does not change while a hub runs.
type documents struct {
	byPath     map[string]runtime.Object // "/api", "/apis", "/api/v1", "/apis/G", "/apis/G/V"
	aggregated map[string]*aggregate     // "/api", "/apis"
}

type aggregate struct {
	list *apidiscoveryv2.APIGroupDiscoveryList
	json []byte
	etag string
}

type groupVersions struct {
	name     string
	versions []string // preferred first
	kinds    map[string][]*api.Kind
}

func groups(kinds *api.Kinds) []*groupVersions {
	var out []*groupVersions
	byName := map[string]*groupVersions{}
	for _, k := range kinds.All() {
		g := byName[k.Group]
		if g == nil {
			g = &groupVersions{name: k.Group, kinds: map[string][]*api.Kind{}}
			byName[k.Group] = g
			out = append(out, g)
		}
		if !slices.Contains(g.versions, k.Version) {
			g.versions = append(g.versions, k.Version)
		}
		g.kinds[k.Version] = append(g.kinds[k.Version], k)
	}
	slices.SortStableFunc(out, func(a, b *groupVersions) int {
		if d := apigroup.Rank(a.name) - apigroup.Rank(b.name); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	for _, g := range out {
		slices.SortStableFunc(g.versions, func(a, b string) int { return -version.CompareKubeAwareVersionStrings(a, b) })
		for _, list := range g.kinds {
			slices.SortStableFunc(list, func(a, b *api.Kind) int { return strings.Compare(a.Resource, b.Resource) })
		}
	}
	return out
}

func newDocuments(kinds *api.Kinds, address string) *documents {
	d := &documents{byPath: map[string]runtime.Object{}, aggregated: map[string]*aggregate{}}
	core := &apidiscoveryv2.APIGroupDiscoveryList{}
	named := &apidiscoveryv2.APIGroupDiscoveryList{}
	apis := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, g := range groups(kinds) {
		item := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.name}}
		group := metav1.APIGroup{Name: g.name}
		prefix := "/apis/" + g.name
		if g.name == "" {
			prefix = "/api"
		}
		for _, v := range g.versions {
			gv := schema.GroupVersion{Group: g.name, Version: v}
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: v})
			d.byPath[prefix+"/"+v] = resourceList(gv, g.kinds[v])
			item.Versions = append(item.Versions, aggregatedVersion(v, g.kinds[v]))
		}
		group.PreferredVersion = group.Versions[0]
		if g.name == "" {
			d.byPath["/api"] = &metav1.APIVersions{
				TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: g.versions,
				ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: address}},
			}
			core.Items = append(core.Items, item)
			continue
		}
		apis.Groups = append(apis.Groups, group)
		single := group
		single.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
		d.byPath[prefix] = &single
		named.Items = append(named.Items, item)
	}
	d.byPath["/apis"] = apis
	d.aggregated["/api"], d.aggregated["/apis"] = newAggregate(core), newAggregate(named)
	return d
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
		for _, s := range sortedSubs(k) {
			kind := responseKind(k, s)
			r.Subresources = append(r.Subresources, apidiscoveryv2.APISubresourceDiscovery{
				Subresource: s.Name, Verbs: s.Verbs,
				ResponseKind: &metav1.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind},
			})
		}
		out.Resources = append(out.Resources, r)
	}
	return out
}

func verbsOf(k *api.Kind) []string {
	if k.Verbs != nil {
		return k.Verbs
	}
	return api.AllVerbs
}

func sortedSubs(k *api.Kind) []*api.Subresource {
	out := make([]*api.Subresource, len(k.Subresources))
	for i := range k.Subresources {
		out[i] = &k.Subresources[i]
	}
	slices.SortFunc(out, func(a, b *api.Subresource) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// responseKind is the kind of a subresource's body; group and version are empty when they are the parent's.
func responseKind(k *api.Kind, s *api.Subresource) schema.GroupVersionKind {
	switch {
	case s.GVK.Empty():
		return schema.GroupVersionKind{Kind: k.Kind}
	case s.GVK.Group == k.Group && s.GVK.Version == k.Version:
		return schema.GroupVersionKind{Kind: s.GVK.Kind}
	}
	return s.GVK
}

// resourceList is the plain document of one group version.
func resourceList(gv schema.GroupVersion, kinds []*api.Kind) *metav1.APIResourceList {
	l := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for _, k := range kinds {
		r := metav1.APIResource{
			Name: k.Resource, SingularName: k.Singular, Namespaced: k.Namespaced, Kind: k.Kind, Verbs: verbsOf(k),
			ShortNames: k.ShortNames, Categories: k.Categories,
		}
		if !k.Virtual {
			r.StorageVersionHash = storageHash(k)
		}
		l.APIResources = append(l.APIResources, r)
		for _, s := range sortedSubs(k) {
			kind := responseKind(k, s)
			l.APIResources = append(l.APIResources, metav1.APIResource{
				Name: k.Resource + "/" + s.Name, Namespaced: k.Namespaced, Kind: kind.Kind, Group: kind.Group, Version: kind.Version, Verbs: s.Verbs,
			})
		}
	}
	return l
}

func storageHash(k *api.Kind) string {
	gvk := k.GVK()
	if k.View != nil {
		gvk.Group, gvk.Version = k.View.Stored.Group, k.View.Stored.Version
	}
	sum := sha256.Sum256([]byte(gvk.Group + "/" + gvk.Version + "/" + gvk.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}

// discovery answers /api, /apis and what is below them down to a group version.
func (h *Hub) discovery(w *recorder, r *http.Request, path string) error {
	if path != "/apis" {
		if err := acceptable(r, objectTypes); err != nil {
			return err
		}
	}
	out, err := wire.Negotiate(r, func(f wire.Format, c schema.GroupVersionKind) bool {
		return h.docs.aggregated[path] != nil && f != wire.YAML &&
			c.Group == apidiscoveryv2.GroupName && c.Version == "v2" && c.Kind == "APIGroupDiscoveryList"
	})
	if err != nil {
		return err
	}
	if !out.Convert.Empty() {
		w.Header().Add("Vary", "Accept")
		return h.docs.aggregated[path].send(w, r, out)
	}
	doc := h.docs.byPath[path]
	if doc == nil {
		group, _, _ := strings.Cut(strings.TrimPrefix(path, "/apis/"), "/")
		if strings.HasPrefix(path, "/apis/") && h.docs.byPath["/apis/"+group] == nil {
			http.NotFound(w, r) // as upstream, which asks its extensions last
			return nil
		}
		return notFound()
	}
	return out.WriteValue(w, r, http.StatusOK, doc)
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
