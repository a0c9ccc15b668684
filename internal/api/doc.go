// Package api says what each kind of object means: how it is defaulted, prepared, validated, printed and selected.
//
// It owns the wire scheme (k8s.io/api v0.37 structs are the only types), the storage encoding, the identity of a
// caller, and the description of a kind ([Kind]). The kinds themselves live one file each in the folders below it, one
// folder per API group, and are joined into one literal list by api/all.
//
// It runs no goroutines and does no I/O. Everything may import it.
package api
