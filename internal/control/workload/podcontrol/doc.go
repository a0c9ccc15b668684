// Package podcontrol makes and deletes the pods of workloads: what a pod of a template is, the hash of a template, and the
// writes with the events that upstream's controllers tell of them.
//
// It owns no data and runs no goroutines. The controllers below internal/control import it.
package podcontrol
