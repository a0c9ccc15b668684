// Package split serves gRPC and plain HTTP on one port without TLS, as etcd does, by looking at how a connection begins.
//
// Each connection has a goroutine until it is known whose it is. hub/store/etcd imports it.
package split
