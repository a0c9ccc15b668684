// Package scheduling describes the kinds of the scheduling.k8s.io group, and the priority classes that the system brings itself.
//
// It owns no data, runs no goroutines and does no I/O. It imports api and api/valid. api/all lists its kinds.
package scheduling
