// Package discovery describes the kinds of the group discovery.k8s.io: EndpointSlice.
//
// It owns no data, runs no goroutines and does no I/O; all of its functions are pure. It imports api and api/valid;
// api/all lists its kinds.
package discovery
