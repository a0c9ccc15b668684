// Package certificates describes the kinds of the certificates.k8s.io group.
//
// It owns no data, runs no goroutines and does no I/O. It imports api. api/all lists its kinds.
package certificates
