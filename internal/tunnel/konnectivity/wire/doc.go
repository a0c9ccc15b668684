// Package wire is the protocol of Konnectivity (sigs.k8s.io/apiserver-network-proxy): its packets, how gRPC carries them, and the
// names of its services and headers. A packet is read and written by hand, so that the bytes that a connection carries are not
// copied on the way; tests compare it with what the original's generated code reads and writes.
//
// Both ends of this project add one kind of packet to the protocol, Window, by which the reader of a connection says how much
// more it takes. It is sent only where both ends have announced it in their headers, so that a stock peer never sees one.
//
// The package owns no data and runs no goroutine. The rooms of internal/tunnel/konnectivity import it.
package wire
