// Package object reads the config maps, secrets and service account tokens that the pods of a node need.
//
// It owns one watch, with its goroutine, per object that a volume of a pod shows, and tells which pods are to be shown a change. The
// kubelet imports it.
package object
