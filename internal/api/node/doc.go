// Package node describes the kinds of the node.k8s.io group.
//
// It owns no data, runs no goroutines and does no I/O; all of its functions are pure. It imports api and api/valid and, for resource lists, api/core.
// api/all lists its kinds.
package node
