package rest

import (
	"net/http"

	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/verb"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// connect admits a stream and hands it over.
func (s *Server) connect(w http.ResponseWriter, r *http.Request, x *exchange, req *verb.Request) error {
	if s.cfg.Connect == nil {
		return apierrors.NewServiceUnavailable("streams are not served here")
	}
	stream, rest := x.stream(), x.route.Rest
	if req.Verb != "create" && stream.Acts != nil && stream.Acts(rest) {
		a := verb.AttributesOf(req)
		a.Verb = "create"
		if err := s.cfg.Verbs.Authorize(r.Context(), a); err != nil {
			return err
		}
	}
	if !stream.Reads {
		attrs := &admit.Attributes{
			Kind: req.Kind, Subresource: req.Ref.Subresource, Operation: admit.Connect, Namespace: req.Ref.Namespace,
			Name: req.Ref.Name, User: req.User, Warn: req.Warn,
		}
		chain := s.cfg.Admission
		if err := chain.Admit(r.Context(), attrs); err != nil {
			return err
		}
		if err := chain.Validate(r.Context(), attrs); err != nil {
			return err
		}
	}
	return s.cfg.Connect.Connect(w, r, req, rest)
}
