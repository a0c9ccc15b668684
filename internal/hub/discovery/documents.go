package discovery

import (
	"net/http"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/wire"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Documents are the discovery documents of a list of kinds. They are made once and never changed.
type Documents struct {
	byPath     map[string]runtime.Object // "/api", "/apis", "/api/v1", "/apis/G", "/apis/G/V"
	aggregated map[string]*aggregate     // "/api", "/apis"
}

// New makes the documents of kinds and of what others answer for; address is where clients are told that the server is reached.
func New(kinds *api.Kinds, others []Elsewhere, address string) *Documents {
	d := &Documents{byPath: map[string]runtime.Object{}, aggregated: map[string]*aggregate{}}
	core := &apidiscoveryv2.APIGroupDiscoveryList{}
	named := &apidiscoveryv2.APIGroupDiscoveryList{}
	apis := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, g := range groups(kinds, others) {
		item := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.name}}
		group := metav1.APIGroup{Name: g.name}
		prefix := "/apis/" + g.name
		if g.name == "" {
			prefix = "/api"
		}
		for _, v := range g.versions {
			gv := schema.GroupVersion{Group: g.name, Version: v}
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: v})
			if o := g.others[v]; o != nil {
				item.Versions = append(item.Versions, o.APIVersionDiscovery)
				continue // it has its own document at that path
			}
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

// Has reports whether there is a document at path, which has no slash at its end.
func (d *Documents) Has(path string) bool { return d.byPath[path] != nil }

// Serve answers /api, /apis and what is below them down to a group version.
func (d *Documents) Serve(w http.ResponseWriter, r *http.Request, path string) error {
	doc := d.byPath[path]
	if doc == nil {
		group, _, _ := strings.Cut(strings.TrimPrefix(path, "/apis/"), "/")
		if strings.HasPrefix(path, "/apis/") && d.byPath["/apis/"+group] == nil {
			http.NotFound(w, r) // as upstream, which asks its extensions last
			return nil
		}
		return wire.NoSuchPath()
	}
	if path != "/apis" {
		if err := wire.Acceptable(r, wire.ObjectTypes); err != nil {
			return err
		}
	}
	out, err := wire.Negotiate(r, func(f wire.Format, c schema.GroupVersionKind) bool {
		return d.aggregated[path] != nil && f != wire.YAML &&
			c.Group == apidiscoveryv2.GroupName && c.Version == "v2" && c.Kind == "APIGroupDiscoveryList"
	})
	if err != nil {
		return err
	}
	if !out.Convert.Empty() {
		w.Header().Add("Vary", "Accept")
		return d.aggregated[path].send(w, r, out)
	}
	return out.WriteValue(w, r, http.StatusOK, doc)
}
