// Package hostnet tells when the network of the machine itself changes: its addresses, its default route, the links that it
// has. Pods that come and go do not count. It also says which address the machine reaches the world with.
//
// It owns no data; [Watch] is one goroutine of its caller's, which sleeps until the kernel says something. internal/machine and
// component/kubelet may import it.
package hostnet
