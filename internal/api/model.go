package api

import "k8s.io/kube-openapi/pkg/validation/spec"

// Model says of a kind that has no Go type what its objects look like. Its functions are dear, and are called when a document or
// managed fields need what they return, which the caller keeps.
type Model struct {
	// ID changes whenever what the functions return does: the uid and the generation of a custom resource definition.
	ID string
	// OpenAPI returns the schema of an object as documents of OpenAPI version 2 or 3 publish it. References are those of version 3
	// ("#/components/schemas/…") in both.
	OpenAPI func(version int) (*spec.Schema, error)
	// Fields returns the schema of an object that managed fields are reckoned by, with the same references; nil when its
	// fields are to be deduced from each object.
	Fields func() (*spec.Schema, error)
	// KeepUnknown says that fields which the schema does not have are kept everywhere.
	KeepUnknown bool
}
