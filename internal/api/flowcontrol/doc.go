// Package flowcontrol describes the kinds of the flowcontrol.apiserver.k8s.io group, and the objects of it that every cluster has.
//
// It owns no data, runs no goroutines and does no I/O; all of its functions are pure. It imports api and api/valid.
// api/all lists its kinds; the hub's bootstrap writes the objects.
package flowcontrol
