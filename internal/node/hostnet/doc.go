// Package hostnet tells when the network of the machine itself changes: its addresses, its default route, the links that it
// has. Pods that come and go do not count.
//
// It owns no data; [Watch] is one goroutine of its caller's, which sleeps until the kernel says something. cmd/sampan may
// import it.
package hostnet
