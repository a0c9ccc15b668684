// Package machine settles what a machine must have and keep to be a node, and takes the node away again: prerequisites, the
// cluster's ranges, the node's name and address, the caller's kubeconfig, and the work of `down` and `purge`.
//
// The packages below it do one thing each: place (directories, mounts, namespaces, cgroups), hold (which process has a data
// directory), steps (what a person is told), engine (the container runtime), further (nodes beyond the first) and node (the running
// node). It owns files below the data directory only and runs no goroutine that outlives a call. cmd/sampan, internal/cluster and
// internal/plane import it.
package machine
