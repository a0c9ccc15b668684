package rest

import (
	"net"
	"net/http"
	"time"

	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/health"
)

// finish accounts for the request.
func (s *Server) finish(w *recorder, r *http.Request, x *exchange) {
	s.count(w, x)
	if _, off := s.cfg.Audit.(audit.Discard); off || !x.route.Resource && health.IsPath(x.route.Path) {
		return
	}
	e := audit.Event{
		ID: x.id, Received: x.came, Verb: x.route.Verb, URI: r.URL.RequestURI(), User: x.caller, UserAgent: r.UserAgent(),
		Group: x.route.Group, Version: x.route.Version, Resource: x.route.Plural, Subresource: x.route.Subresource,
		Namespace: x.route.Namespace, Name: x.route.Name, Code: int32(w.status()),
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		e.SourceIPs = []string{host}
	}
	if x.user.Name != x.caller.Name {
		u := x.user
		e.Impersonated = &u
	}
	if x.err != nil {
		e.Reason = x.err.Error()
	}
	s.cfg.Audit.Record(e)
}

// count counts a request for something that is served. What else a client writes must not become a label: series stay for good.
func (s *Server) count(w *recorder, x *exchange) {
	if !x.served {
		return
	}
	rt := &x.route
	o := health.Request{
		Verb: rt.Verb, Group: rt.Group, Version: rt.Version, Resource: rt.Plural, Subresource: rt.Subresource,
		Stream: x.stream() != nil, Long: x.long(),
		Code: w.status(), Bytes: w.bytes, Took: time.Since(x.came),
	}
	if rt.Resource {
		switch {
		case rt.NameInPath:
			o.Scope = "resource"
		case rt.Namespace != "":
			o.Scope = "namespace"
		default:
			o.Scope = "cluster"
		}
	}
	s.cfg.Metrics.Observe(o)
}
