// Package node is this machine as a running node: the container runtime, pod network, service rules, DNS and kubelet, composed for one
// [Seat], the node's place in a cluster.
//
// A seat holds the node's clients. They lead to the API server in the same process or to one elsewhere; nothing else differs. It owns
// the node's parts, each a part of the caller's daemon.Group. internal/cluster imports it.
package node
