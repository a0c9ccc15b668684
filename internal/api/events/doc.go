// Package events describes the kind Event of the events.k8s.io group, a view of the core Event that is stored.
//
// It owns no data, runs no goroutines and does no I/O. It imports api, api/valid and api/core, which holds what events of both
// groups share. api/all lists its kind.
package events
