package rest

import (
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/catalog"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// exchange is one request on its way through the stages, each of which notes what it has found out. It belongs to the
// goroutine that serves the request.
type exchange struct {
	route  route
	now    *catalog.Snapshot // what is served, as far as this request knows
	names  *catalog.Resource // by the route; nil for plain paths and for what is not served
	kind   *api.Kind         // of names
	sub    *api.Subresource  // nil for none, and for one that the kind does not have
	user   api.User
	caller api.User // before impersonation
	id     string
	came   time.Time
	served bool  // it asks for something that there is, and may
	err    error // what it was refused with
	held   int64 // bytes of memory taken for its body
	answer int64 // and for its answer
}

// identify finds the kind and the subresource that the route names, if they are served.
func (s *Server) identify(x *exchange) {
	rt := &x.route
	if !rt.Resource {
		return
	}
	x.now = s.cfg.Catalog.Now()
	x.names = x.now.Resource(schema.GroupVersionResource{Group: rt.Group, Version: rt.Version, Resource: rt.Plural})
	if x.names == nil {
		return
	}
	if x.kind = x.names.Kind; rt.Subresource != "" {
		x.sub = x.kind.Sub(rt.Subresource)
	}
}

// long reports whether the request may take as long as it likes.
func (x *exchange) long() bool {
	if !x.route.Resource {
		return strings.HasPrefix(x.route.Path, "/debug/pprof/")
	}
	return x.route.Verb == "watch" || x.route.Verb == "proxy" || x.stream() != nil
}

// stream describes the stream that is asked for; nil when it is anything else, or nothing that is served.
func (x *exchange) stream() *api.Connect {
	if x.sub == nil {
		return nil
	}
	return x.sub.Connect
}
