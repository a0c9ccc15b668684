// Package storetest is the conformance suite of store.Store. Tests of the implementations import it, nothing else does.
package storetest
