// Package network is the pod network of one node: a routed veth pair for every pod (no bridge: a bridge stops at 1,023
// ports and learns what is already known), an address from the node's pod range, routes to the other nodes' ranges,
// masquerade of what leaves the cluster, and host ports.
//
// It owns: the leases under <data-dir>/network (one file per pod address), the links, routes and the nftables table whose
// names and metrics derive from the instance id (see [names]), the CNI socket in the run directory and the CNI
// configuration that points at it. Containerd reaches it through internal/machine-cni, which asks over that socket.
//
// [Network.Run] owns all goroutines: one that accepts CNI requests and one per request, one that removes links after their
// pods are gone, one that follows the nodes, one that
// follows foreign CNI configurations, and two that guard the table against others. internal/machine may import it; node/dns is given its gateway address as a value.
package network
