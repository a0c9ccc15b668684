// Package konnectivity is upstream's proxy-server and proxy-agent (sigs.k8s.io/apiserver-network-proxy) with their flags, as programs
// of their own: [Server] connects API servers with agents, [Agent] makes the connections in the network of the nodes.
//
// It owns no data. Run serves on the ports that the flags name, each on a goroutine that it waits for. cmd/sampan imports it.
package konnectivity
