package rest

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/health"
)

// finish accounts for the request.
func (s *Server) finish(w *recorder, r *http.Request, x *exchange) {
	s.count(w, x)
	switch {
	case x.trail != nil:
		x.trail.Ends(audit.Status(w.status(), x.err))
	case x.err != nil && s.cfg.Audit.Minds(int32(w.status())):
		e := event(r, x)
		if x.user.Name != x.caller.Name {
			e.Impersonated = &x.user
		}
		s.cfg.Audit.Refused(e, audit.Status(w.status(), x.err))
	}
}

// event is what the audit knows of a request from its path and its headers.
func event(r *http.Request, x *exchange) audit.Event {
	rt := &x.route
	e := audit.Event{ID: x.id, Received: x.came, Verb: rt.Verb, URI: r.URL.RequestURI(), User: x.caller, UserAgent: r.UserAgent(), SourceIPs: sources(r)}
	if len(e.UserAgent) > mostAgent {
		e.UserAgent = e.UserAgent[:mostAgent] + "...TRUNCATED"
	}
	if rt.Resource {
		e.Object = &audit.Object{
			Group: rt.Group, Version: rt.Version, Resource: rt.Plural, Subresource: rt.Subresource, Namespace: rt.Namespace, Name: rt.Name,
		}
	}
	return e
}

// mostAgent is how many bytes of a User-Agent are recorded.
const mostAgent = 1024

// sources are where a request comes from, the first sender first: what proxies say of it, then the connection.
func sources(r *http.Request) []string {
	var out []string
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip"} {
		for _, v := range r.Header[header] {
			for ip := range strings.SplitSeq(v, ",") {
				if a, err := netip.ParseAddr(strings.TrimSpace(ip)); err == nil && !slices.Contains(out, a.String()) {
					out = append(out, a.String())
				}
			}
		}
		if len(out) > 0 {
			break
		}
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && !slices.Contains(out, host) {
		out = append(out, host)
	}
	return out
}

// count counts a request for something that is served. What else a client writes must not become a label: series stay for good.
func (s *Server) count(w *recorder, x *exchange) {
	if !x.served {
		return
	}
	rt := &x.route
	o := health.Request{
		Verb: rt.Verb, Group: rt.Group, Version: rt.Version, Resource: rt.Plural, Subresource: rt.Subresource,
		Stream: x.stream() != nil, Long: x.long(), Deprecated: x.kind != nil && x.kind.Deprecated != "",
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
