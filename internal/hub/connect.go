package hub

import (
	"net/http"

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
func (h *Hub) connect(w http.ResponseWriter, r *http.Request, x *exchange, req *verb.Request) error {
	if h.cfg.Connect == nil {
		return apierrors.NewServiceUnavailable("streams are not served here")
	}
	stream, rest := x.stream(), x.route.Rest
	if req.Verb != "create" && stream.Acts != nil && stream.Acts(rest) {
		a := verb.AttributesOf(req)
		a.Verb = "create"
		if err := h.verbs.Authorize(r.Context(), a); err != nil {
			return err
		}
	}
	if !stream.Reads {
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
	return h.cfg.Connect.Connect(w, r, req, rest)
}
