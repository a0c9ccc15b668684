package rest

import (
	"net/http"
	"strings"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/hub/wire"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resource carries out a verb on a resource.
func (s *Server) resource(w *recorder, r *http.Request, x *exchange) error {
	rt, k := &x.route, x.kind
	if strings.HasPrefix(r.URL.Path, "//") || k == nil && rt.Group != "" && !x.now.HasGroup(rt.Group) {
		http.NotFound(w, r) // as upstream, which asks its extensions last
		return nil
	}
	if k != nil && x.names.Backend() != nil {
		x.served = true
		x.names.Backend().ServeHTTP(w, r)
		return nil
	}
	if k != nil && k.Model != nil && rt.Subresource != "" && k.Sub(rt.Subresource) == nil {
		return apierrors.NewNotFound(k.GR(), rt.Name) // as upstream, which has other code for custom resources
	}
	if k == nil || rt.Verb == "proxy" || rt.PathVerb && rt.Subresource != "" || !x.placed() {
		return wire.NoSuchPath()
	}
	if !x.routed() || rt.PathVerb && r.Method != http.MethodGet || r.Method == http.MethodHead && x.stream() == nil {
		return wire.NoSuchMethod(r.Method)
	}
	x.served = true
	req := &verb.Request{
		User: x.user, UserAgent: r.UserAgent(), Remote: r.RemoteAddr, Verb: rt.Verb, Kind: k, Warn: newWarnings(w).add,
		Ref: client.Ref{Resource: k.GVR(), Namespace: rt.Namespace, Name: rt.Name, Subresource: rt.Subresource},
	}
	if !k.Namespaced {
		req.Ref.Namespace = ""
	}
	if x.trail != nil {
		req.Annotate = x.trail.Annotate
	}
	if k.Deprecated != "" {
		req.Warn(k.Deprecated)
		x.trail.Annotate("k8s.io/deprecated", "true")
	}
	if x.stream() != nil {
		return s.connect(w, r, x, req)
	}
	if err := mediaTypes(rt, k, r); err != nil {
		return err
	}
	out, err := wire.Negotiate(r, func(f wire.Format, as schema.GroupVersionKind) bool {
		return wire.ObjectConversions(f, as) && (!k.Virtual || k.Can("get") || as.Kind != "Table") // what is only created has no table
	})
	if err != nil {
		return err
	}
	c := call{s: s, w: w, r: r, x: x, out: out, req: req}
	if r.URL.RawQuery != "" {
		c.query = r.URL.Query()
		c.out.IncludeObject = metav1.IncludeObjectPolicy(c.query.Get("includeObject"))
	}
	if s.cfg.Leases != nil && k.Resource == client.Leases.Resource && k.Group == client.Leases.Group {
		defer s.looked(&c)()
	}
	switch rt.Verb {
	case "get":
		return c.get()
	case "list":
		return c.list()
	case "watch":
		return c.watch()
	case "create":
		return c.create()
	case "update":
		return c.update()
	case "patch":
		return c.patch()
	case "delete":
		return c.delete()
	case "deletecollection":
		return c.deleteCollection()
	}
	return wire.NoSuchPath()
}
