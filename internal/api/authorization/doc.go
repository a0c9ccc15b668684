// Package authorization describes the kinds of the authorization.k8s.io group: questions that the hub answers and does not store.
//
// It owns no data, runs no goroutines and does no I/O. It imports api. api/all lists its kinds.
package authorization
