// Package valid holds the validation rules that several kinds share: names, labels and selectors, ports, quantities,
// addresses, and all of a pod template.
//
// Every rule takes a value and the field path it was found at, and returns a field.ErrorList with upstream's error types,
// paths and messages (kubernetes v1.37, pkg/apis/core/validation), because clients and the conformance suite read them.
// The types it takes are defaulted already.
//
// It owns no data, runs no goroutines and does no I/O. The kinds under internal/api import it, and nobody else.
package valid
