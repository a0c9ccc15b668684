package cloud

import (
	"net/netip"
	"slices"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// creation is a route to be made.
type creation struct {
	node  *corev1.Node
	route *cloud.Route
}

// planRoutes says which routes are to go and which to come, so that each range of a node leads to it. Routes outside of ranges are not
// ours, and blackholes inside go.
func planRoutes(nodes []*corev1.Node, routes []*cloud.Route, ranges []netip.Prefix) (gone []*cloud.Route, come []creation) {
	kept := map[*cloud.Route]bool{}
	for _, n := range nodes {
		for _, cidr := range n.Spec.PodCIDRs {
			i := slices.IndexFunc(routes, func(r *cloud.Route) bool { return leads(r, n, cidr) })
			if i >= 0 {
				kept[routes[i]] = true
				continue
			}
			come = append(come, creation{n, &cloud.Route{TargetNode: types.NodeName(n.Name), TargetNodeAddresses: n.Status.Addresses, DestinationCIDR: cidr}})
		}
	}
	for _, r := range routes {
		if ours(r, ranges) && !kept[r] && (r.TargetNode != "" || r.Blackhole) {
			gone = append(gone, r)
		}
	}
	return gone, come
}

// leads reports whether a route leads a range to a node as it is now.
func leads(r *cloud.Route, n *corev1.Node, cidr string) bool {
	if r.Blackhole || string(r.TargetNode) != n.Name || r.DestinationCIDR != cidr {
		return false
	}
	return !r.EnableNodeAddresses || sameAddresses(r.TargetNodeAddresses, n.Status.Addresses)
}

func sameAddresses(a, b []corev1.NodeAddress) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x corev1.NodeAddress) bool { return !slices.Contains(b, x) })
}

// ours reports whether a route lies in one of the cluster's ranges.
func ours(r *cloud.Route, ranges []netip.Prefix) bool {
	p, err := netip.ParsePrefix(r.DestinationCIDR)
	return err == nil && slices.ContainsFunc(ranges, p.Masked().Overlaps)
}

// routeCondition is what a node says of its routes.
func routeCondition(made bool) corev1.NodeCondition {
	if made {
		return corev1.NodeCondition{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionFalse, Reason: "RouteCreated", Message: "RouteController created a route"}
	}
	return corev1.NodeCondition{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue, Reason: "NoRouteCreated", Message: "RouteController failed to create a route"}
}

// says reports whether a node has the condition already.
func says(n *corev1.Node, want corev1.NodeCondition) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == want.Type && c.Status == want.Status && c.Reason == want.Reason
	})
}
