// Package rbac describes the kinds of the rbac.authorization.k8s.io group, one file per kind. Whether one set of rules covers another,
// which escalation checks ask, is for the hub's authorization.
//
// It owns no data, runs no goroutines and does no I/O. It imports api and api/valid. api/all lists its kinds.
package rbac
