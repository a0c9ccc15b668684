package api

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// AnnotationAnnounced on a Node lists the addresses, separated by commas, that the node announces on its network by ARP and NDP, because
// balancers have them. The control plane writes it.
const AnnotationAnnounced = "sampan.dev/announced-addresses"

// Announced are the addresses that a node's annotation lists. What is no address is left out.
func Announced(n *corev1.Node) []netip.Addr {
	return ParseAddresses(n.Annotations[AnnotationAnnounced])
}

// ParseAddresses reads addresses separated by commas. What is no address is left out.
func ParseAddresses(list string) (out []netip.Addr) {
	for s := range strings.SplitSeq(list, ",") {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, a)
		}
	}
	return out
}
