// Package cmp stands in for github.com/google/go-cmp/cmp in the binary.
//
// Only etcd's storage/backend calls it, in a check that is off unless an environment variable turns it on. The real one
// reaches reflect's method lookup by name, which makes the linker keep every exported method of every type: 6 MB of sampan,
// and as much resident memory. go.mod replaces the module with this one; nothing of ours imports it.
package cmp

import (
	"fmt"
	"reflect"
)

// Option is accepted for the sake of the signature. None is supported.
type Option any

// Equal reports whether x and y are deeply equal.
func Equal(x, y any, _ ...Option) bool { return reflect.DeepEqual(x, y) }

// Diff returns "" when x and y are deeply equal, and both of them printed otherwise.
func Diff(x, y any, _ ...Option) string {
	if reflect.DeepEqual(x, y) {
		return ""
	}
	return fmt.Sprintf("-%v\n+%v\n", x, y)
}
