package core

import (
	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type schemaGVK = schema.GroupVersionKind

// What discovery prints for subresources of the two usual shapes.
var (
	statusVerbs = []string{"get", "patch", "update"}
	proxyVerbs  = []string{"create", "delete", "get", "patch", "update"}
)

// The functions below give a function of a kind's own type the signature that api.Kind wants.

func validateOne[T api.Object](rule func(T) field.ErrorList) func(api.Object) field.ErrorList {
	return func(obj api.Object) field.ErrorList { return rule(obj.(T)) }
}

func validateTwo[T api.Object](rule func(obj, old T) field.ErrorList) func(obj, old api.Object) field.ErrorList {
	return func(obj, old api.Object) field.ErrorList { return rule(obj.(T), old.(T)) }
}

func prepareTwo[T api.Object](prepare func(obj, old T)) func(obj, old api.Object) {
	return func(obj, old api.Object) { prepare(obj.(T), old.(T)) }
}

func prepareOne[T api.Object](prepare func(T)) func(api.Object) {
	return func(obj api.Object) { prepare(obj.(T)) }
}

func rowOf[T api.Object](row func(T) []any) func(api.Object) []any {
	return func(obj api.Object) []any { return row(obj.(T)) }
}

func fieldsOf[T api.Object](set func(T) fields.Set) func(api.Object) fields.Set {
	return func(obj api.Object) fields.Set { return set(obj.(T)) }
}
