package hub

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/verb"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Connector carries out the subresources that are streams: log, exec, attach, portforward and proxy. It is called after
// authorization and admission; path is what followed the subresource in the URL, with a leading slash, or "". It answers by
// itself and returns an error only while nothing has been written.
type Connector interface {
	Connect(w http.ResponseWriter, r *http.Request, req *verb.Request, path string) error
}

// connect admits a stream and hands it over.
func (h *Hub) connect(w http.ResponseWriter, r *http.Request, rt *route, req *verb.Request) error {
	if h.cfg.Connect == nil {
		return apierrors.NewServiceUnavailable("streams are not served here")
	}
	if rt.Verb != "create" && acts(rt) {
		a := verb.AttributesOf(req)
		a.Verb = "create"
		if err := h.verbs.Authorize(r.Context(), a); err != nil {
			return err
		}
	}
	if rt.Subresource != "log" {
		attrs := &admit.Attributes{
			Kind: req.Kind, Subresource: req.Ref.Subresource, Operation: admit.Connect, Namespace: req.Ref.Namespace,
			Name: req.Ref.Name, User: req.User, Warn: req.Warn,
		}
		chain := h.admission()
		if err := chain.Admit(r.Context(), attrs); err != nil {
			return err
		}
		if err := chain.Validate(r.Context(), attrs); err != nil {
			return err
		}
	}
	return h.cfg.Connect.Connect(w, r, req, rt.Rest)
}

// acts tells whether a stream does something in a container. That asks for create, whatever carries it: a WebSocket begins with
// GET, and nothing keeps SPDY from it. What a kubelet does for the paths that one may name through its node's proxy is the same.
func acts(rt *route) bool {
	switch rt.Subresource {
	case "exec", "attach", "portforward":
		return true
	case "proxy":
		return rt.Plural == "nodes" && kubeletActs(rt.Rest)
	}
	return false
}

// kubeletActs tells whether a path of a kubelet acts in a container or on it rather than telling of it. The case does not
// matter, since who serves the path may be anybody's.
func kubeletActs(p string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+p), "/"), "/")
	return slices.ContainsFunc([]string{"exec", "attach", "portForward", "run", "cri", "checkpoint"}, func(a string) bool {
		return strings.EqualFold(first, a)
	})
}
