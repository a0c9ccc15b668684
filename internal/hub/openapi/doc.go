// Package openapi describes the API to its clients: the definitions of all types (generated from the sources of k8s.io/api and
// embedded compressed, or made of the schemas of custom resources) and the paths of all kinds, served as OpenAPI v2 and v3.
//
// Nothing is decompressed or made before someone asks, and a document is made anew only when what it describes is not what it was:
// a thousand kinds that come cost the names of their documents. It owns the documents that were made. It runs no goroutines. The
// hub alone imports it.
//
//go:generate go -C ../../../tools/openapi run .
package openapi
