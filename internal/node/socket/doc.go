// Package socket serves gRPC on a unix socket for which nothing is made until somebody calls: it costs a file descriptor and one
// goroutine that waits.
//
// It owns the socket's file while it serves. node/devices and node/podresources import it.
package socket
