// Package hub is the API server: the only thing that holds state and the only thing anyone talks to. This package puts the
// rooms below it together:
//
//	listener     connections                      rest        requests over HTTP, stage by stage
//	catalog      what is served, and its caches   health      checks, metrics, profiles
//	discovery    documents of what is served      openapi     and their schemas
//	authn authz  who asks, whether they may       verb        what a request does
//	admit alloc  what is made of it first         cache store the state
//	aggregate    API servers behind this one
//
// Clients in process (client/local) join at authorization.
//
// It owns, in Run, the goroutines of the catalog's caches, of the informers that authorization and admission
// read, and of the HTTPS server. internal/plane and internal/component/apiserver import it.
package hub
