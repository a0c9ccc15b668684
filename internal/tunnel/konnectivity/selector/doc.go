// Package selector reads an EgressSelectorConfiguration (apiserver.k8s.io/v1beta1), which says through which proxy an API server
// makes its connections to nodes ("cluster"), to others of the control plane ("controlplane") and to etcd ("etcd"), and makes them:
// by Konnectivity's gRPC on a unix socket, or by HTTP's CONNECT on a unix socket or TCP, with or without TLS.
//
// A selection by gRPC keeps one connection to its proxy, made at the first dial, and runs two goroutines for each connection that is
// open through it. The API server's components import it.
package selector
