package authz

import (
	"context"
	"errors"
	"fmt"

	"sampan.dev/internal/api"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Attributes describes the request that an authorizer decides on: whether User may Verb this resource, or this Path.
//
// Path is set only when Resource is empty. Names are as in the URL (plural resource, lower-case verb); Namespace is empty for
// what has none and for all namespaces. The caller owns it; authorizers do not change or keep it.
type Attributes struct {
	User        api.User
	Verb        string // get list watch create update patch delete deletecollection impersonate …; for paths the lower-case HTTP method
	Group       string
	Version     string
	Resource    string
	Subresource string
	Namespace   string
	Name        string
	Path        string

	FieldSelector string // as it came, for selector-aware authorizers (Node)
	LabelSelector string
}

// Decision is an authorizer's answer.
type Decision uint8

// NoOpinion leaves the decision to the next authorizer; when nobody allows, the request is denied.
const (
	NoOpinion Decision = iota
	Allow
	Deny
)

// Authorizer answers; reason is for people and may be empty.
type Authorizer interface {
	Authorize(ctx context.Context, a Attributes) (d Decision, reason string, err error)
}

// Forbidden is the 403, in upstream's words.
func Forbidden(a Attributes, reason string) error {
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
