// Package statefulset is the statefulset-controller: pods with names and claims of their own, made and replaced in order.
//
// What one look at a set leads to is decided by a pure function (planSet) from the set, its revisions, pods and claims to steps
// in their order; the shell around it reads informers, carries the steps out through the controller's client and notes its
// writes in a ledger. That a pod's name is its identity is what keeps two of one identity from being there at once: the hub has
// one object of a name, and a pod is only ever made where the view, which contains all earlier writes, has none.
//
// It owns no data. Its goroutines are those of loop.Controller. internal/control imports it and nobody else.
package statefulset
