// Package dns is the cluster DNS of one node: it answers for the cluster's domain as the Kubernetes DNS specification 1.1
// says, straight from the informers, and forwards everything else to the node's name servers.
//
// The pure part is [zone]: question in, records out. It owns a small cache of forwarded answers. [Server.Run] owns the
// listeners on the node's gateway address (miekg/dns serves each query on a goroutine of its own) and the goroutine that
// publishes the node's EndpointSlice of the Service kube-dns, through which the proxy finds this server. internal/machine may
// import it.
package dns
