// Package ssh reaches nodes by SSH: one connection to port 22 of each node that something is asked of, and everything else through it.
// It is what clusters had before Konnectivity, for those who have nothing but a login on their nodes.
//
// A node's host key is pinned: who shows another is not talked to. A connection that breaks is made anew by the next that needs it.
//
// It owns the connections, each with a goroutine that sees whether it still answers. The plane imports it.
package ssh
