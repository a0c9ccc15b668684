// Package verb carries out requests, one file per verb: get, list, watch, create, update, patch, delete,
// deletecollection. It knows nothing of HTTP; the hub's server and the local door both end here, after the caller has been
// authorized.
//
// A write goes: default → managed fields → mutating admission → hooks → prepare → validate → validating admission → one
// store write ([Engine.change] holds the compare-and-swap loop). A read is served from hub/cache. The package owns no data
// and runs no goroutines.
//
// Its rooms verb/meta and verb/paging hold rules that need no engine. The hub and client/local import this one.
package verb
