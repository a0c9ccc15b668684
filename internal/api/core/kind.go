package core

import (
	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type schemaGVK = schema.GroupVersionKind

// What discovery prints for subresources of the two usual shapes.
var (
	statusVerbs = []string{"get", "patch", "update"}
	proxyVerbs  = []string{"create", "delete", "get", "patch", "update"}
)

// fieldsOf gives a function of a kind's own type the signature of api.Kind.Fields.
func fieldsOf[T api.Object](set func(T) fields.Set) func(api.Object) fields.Set {
	return func(obj api.Object) fields.Set { return set(obj.(T)) }
}
