package authz

import (
	"context"

	"sampan.dev/internal/api"
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
