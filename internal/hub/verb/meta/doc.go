// Package meta holds the rules that the metadata of every object obeys, whatever its kind: what only the hub may set, names and
// namespaces of a request against those of its body, owner references, validation.
//
// All of it is pure but for the clock and random names. It owns no data and runs no goroutine. hub/verb alone imports it.
package meta
