// Package addr knows the addresses that no machine of a cluster has, whatever somebody says: what is local to a machine or a
// link, what goes to many, and the forms of an address that mean another one. The hub keeps from connecting to them
// (internal/hub/egress) and no kubelet's certificate names them (internal/control/identity).
//
// It has no state. Anything may import it; it imports nothing of ours.
package addr
