// Package register makes the machine a node of the cluster and keeps it one: it creates the Node object, keeps its status, its own
// labels and its addresses true, and renews the Lease by which the control plane knows that it is alive.
//
// What the node says is computed by pure functions: the object (object.go), capacity and what of it pods may use (capacity.go),
// conditions and the events of their changes (condition.go), the features that it declares (declare.go), the patch that is written (patch.go). address.go and info.go read the
// machine. Node (node.go) is the shell around them; lease.go is by itself. It owns the node's addresses, and runs three goroutines:
// one follows the Node in the hub, one writes it, one renews the Lease. The kubelet imports it.
package register
