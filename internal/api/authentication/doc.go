// Package authentication describes the kinds of the authentication.k8s.io group: questions that the hub answers and does not store.
//
// It owns no data, runs no goroutines and does no I/O. It imports api. api/all lists its kinds; TokenRequest is the body of
// serviceaccounts/token and no resource of its own.
package authentication
