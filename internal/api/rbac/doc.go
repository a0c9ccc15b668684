// Package rbac describes the kinds of the rbac.authorization.k8s.io group, one file per kind, and knows when one set of rules
// covers another.
//
// It owns no data, runs no goroutines and does no I/O. It imports api and api/valid. api/all lists its kinds; the hub's
// authorization and admission use [Covers].
package rbac
