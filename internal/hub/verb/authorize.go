package verb

import (
	"context"
	"errors"
	"fmt"

	"sampan.dev/internal/hub/authz"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Authorize asks whether a may be done and answers with a 403 if not.
func (e *Engine) Authorize(ctx context.Context, a authz.Attributes) error {
	az := e.cfg.Authorizer
	if az == nil {
		if authz.Superuser(a.User) {
			return nil
		}
		return Forbidden(a, "there is no authorizer")
	}
	d, reason, err := az.Authorize(ctx, a)
	switch {
	case d == authz.Allow:
		return nil
	case err != nil && reason == "":
		reason = err.Error()
	}
	return Forbidden(a, reason)
}

// AttributesOf is the question that a request on a resource poses.
func AttributesOf(req *Request) authz.Attributes {
	return authz.Attributes{
		User: req.User, Verb: req.Verb, Group: req.Kind.Group, Version: req.Kind.Version, Resource: req.Kind.Resource,
		Subresource: req.Ref.Subresource, Namespace: req.Ref.Namespace, Name: req.Ref.Name,
	}
}

// Forbidden is the 403, in upstream's words.
func Forbidden(a authz.Attributes, reason string) error {
	msg := fmt.Sprintf("User %q cannot %s path %q", a.User.Name, a.Verb, a.Path)
	if a.Resource != "" {
		resource := a.Resource
		if a.Subresource != "" {
			resource += "/" + a.Subresource
		}
		msg = fmt.Sprintf("User %q cannot %s resource %q in API group %q", a.User.Name, a.Verb, resource, a.Group)
		if a.Namespace != "" {
			msg += fmt.Sprintf(" in the namespace %q", a.Namespace)
		} else {
			msg += " at the cluster scope"
		}
	}
	if reason != "" {
		msg += ": " + reason
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: a.Group, Resource: a.Resource}, a.Name, errors.New(msg))
}
