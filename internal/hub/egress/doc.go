// Package egress is the one way out of the hub: every connection to a node, a pod, a service's endpoint, a webhook or an
// aggregated server is made by its [Dialer]. Others say where these are (a node writes its own addresses and those of its
// pods), so the dialer resolves a name once, looks at each address and connects to exactly the one it has looked at.
//
// It never leads back to the hub's own listeners, to this machine's loopback, to what a cloud answers on link-local addresses
// or to a form of an address that means another one; only an administrator's own word, the URL of a webhook, leads to loopback. It owns no data and no goroutine. A test of internal/arch keeps the rest
// of the hub from dialling by itself.
package egress
