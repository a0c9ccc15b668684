package api

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The functions below give functions of a kind's own type the signatures that Kind wants.

// On adapts a function that may change an object: Default, PrepareCreate.
func On[T Object](f func(T)) func(Object) {
	return func(obj Object) { f(obj.(T)) }
}

// OnChange adapts a function that may change an object in view of the one it replaces: PrepareUpdate.
func OnChange[T Object](f func(obj, old T)) func(obj, old Object) {
	return func(obj, old Object) { f(obj.(T), old.(T)) }
}

// Try adapts a function that may refuse an object: Accept.
func Try[T Object](f func(T) error) func(Object) error {
	return func(obj Object) error { return f(obj.(T)) }
}

// Check adapts a validation.
func Check[T Object](f func(T) field.ErrorList) func(Object) field.ErrorList {
	return func(obj Object) field.ErrorList { return f(obj.(T)) }
}

// CheckChange adapts a validation of a change.
func CheckChange[T Object](f func(obj, old T) field.ErrorList) func(obj, old Object) field.ErrorList {
	return func(obj, old Object) field.ErrorList { return f(obj.(T), old.(T)) }
}

// Cells adapts a table row.
func Cells[T Object](f func(T) []any) func(Object) []any {
	return func(obj Object) []any { return f(obj.(T)) }
}
