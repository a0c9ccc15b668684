// Package further runs the nodes beyond the first on one machine: each an agent of its own in a network namespace of its own, on a
// bridge that all nodes of the cluster share.
//
// It owns the bridge, the namespaces and their links. [Node.Run] has one goroutine, on whose thread the agent's life depends.
// cmd/sampan, internal/cluster, internal/plane and the packages of internal/machine import it.
package further
