package verb

import (
	"context"

	"sampan.dev/internal/hub/authz"
)

// Authorize asks whether a may be done and answers with a 403 if not.
func (e *Engine) Authorize(ctx context.Context, a authz.Attributes) error {
	_, err := e.Decide(ctx, a)
	return err
}

// Decide is Authorize with the reason that the authorizer gave, for people.
func (e *Engine) Decide(ctx context.Context, a authz.Attributes) (reason string, err error) {
	az := e.cfg.Authorizer
	if az == nil {
		if authz.Superuser(a.User) {
			return "", nil
		}
		return "", authz.Forbidden(a, "there is no authorizer")
	}
	d, reason, err := az.Authorize(ctx, a)
	switch {
	case d == authz.Allow:
		return reason, nil
	case err != nil && reason == "":
		reason = err.Error()
	}
	return reason, authz.Forbidden(a, reason)
}

// AttributesOf is the question that a request on a resource poses.
func AttributesOf(req *Request) authz.Attributes {
	return authz.Attributes{
		User: req.User, Verb: req.Verb, Group: req.Kind.Group, Version: req.Kind.Version, Resource: req.Kind.Resource,
		Subresource: req.Ref.Subresource, Namespace: req.Ref.Namespace, Name: req.Ref.Name,
	}
}
