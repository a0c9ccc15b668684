// Package openapi describes the API to its clients: the definitions of all types (generated from the sources of k8s.io/api and
// embedded compressed) and the paths of all kinds, served as OpenAPI v2 and v3.
//
// Nothing is decompressed or built before someone asks. It runs no goroutines. The hub alone imports it.
//
//go:generate go -C ../../../tools/openapi run .
package openapi
