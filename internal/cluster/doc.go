// Package cluster composes a control plane and nodes: all of `up` and `server` in one process, a node in a process beside its control
// plane, or one that joins a control plane elsewhere, with tokens and the advice that errors end with.
//
// A node in a process of its own outlives its control plane: probes, restarts, service rules and DNS need nobody while it is away. It
// owns the daemon.Group in which all parts run. cmd/sampan imports it.
package cluster
