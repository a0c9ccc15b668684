package local

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// matters is what of a node decides which addresses services have: whether it is ready, and its own addresses.
func matters(n *corev1.Node) string {
	var b strings.Builder
	if ready(n) {
		b.WriteString("ready")
	}
	for _, a := range n.Status.Addresses {
		fmt.Fprintf(&b, " %s=%s", a.Type, a.Address)
	}
	return b.String()
}

func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// place decides the addresses of a service: those of all nodes that are ready, unless one of its ports is somebody else's.
// services are all of the cluster. The status says which ports a service has, so that it keeps them.
func place(svc *corev1.Service, services []*corev1.Service, nodes []*corev1.Node, reserved map[Port]string) (*corev1.LoadBalancerStatus, error) {
	for _, p := range portsOf(svc) {
		if owner := reserved[p]; owner != "" {
			return nil, fmt.Errorf("port %s of the nodes is %s", p, owner)
		}
		for _, other := range services {
			if other.UID != svc.UID && balanced(other) && ahead(other, svc, p) {
				return nil, fmt.Errorf("port %s of the nodes is that of Service %s/%s", p, other.Namespace, other.Name)
			}
		}
	}
	status := &corev1.LoadBalancerStatus{}
	vip := corev1.LoadBalancerIPModeVIP
	for _, a := range nodeAddresses(nodes) {
		if wanted(svc, a) {
			status.Ingress = append(status.Ingress, corev1.LoadBalancerIngress{IP: a.String(), IPMode: &vip, Ports: portStatus(svc)})
		}
	}
	if want := svc.Spec.LoadBalancerIP; want != "" {
		status.Ingress = slices.DeleteFunc(status.Ingress, func(in corev1.LoadBalancerIngress) bool { return in.IP != want })
		if len(status.Ingress) == 0 {
			return nil, fmt.Errorf("spec.loadBalancerIP %s is the address of no node that is ready", want)
		}
	}
	return status, nil
}

// balanced reports whether a service takes ports of the nodes, or is about to.
func balanced(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeLoadBalancer && svc.Spec.LoadBalancerClass == nil && svc.DeletionTimestamp == nil
}

// ahead reports whether other keeps svc from a port: it has it, or it wants it too and came first.
func ahead(other, svc *corev1.Service, p Port) bool {
	if has, mine := granted(other, p), granted(svc, p); has != mine {
		return has
	}
	return slices.Contains(portsOf(other), p) && older(other, svc)
}

func older(a, b *corev1.Service) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.UID < b.UID
}

// granted reports whether a service's status says that it has a port.
func granted(svc *corev1.Service, p Port) bool {
	return slices.ContainsFunc(svc.Status.LoadBalancer.Ingress, func(in corev1.LoadBalancerIngress) bool {
		return slices.Contains(in.Ports, corev1.PortStatus{Port: p.Number, Protocol: p.Protocol})
	})
}

func portStatus(svc *corev1.Service) []corev1.PortStatus {
	var out []corev1.PortStatus
	for _, p := range portsOf(svc) {
		out = append(out, corev1.PortStatus{Port: p.Number, Protocol: p.Protocol})
	}
	return out
}

func portsOf(svc *corev1.Service) []Port {
	var out []Port
	for _, p := range svc.Spec.Ports {
		protocol := p.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		out = append(out, Port{protocol, p.Port})
	}
	return out
}

// nodeAddresses are those that the outside reaches nodes at, sorted: external ones where any node has such, else internal ones.
func nodeAddresses(nodes []*corev1.Node) []netip.Addr {
	var external, internal []netip.Addr
	for _, n := range nodes {
		if !ready(n) {
			continue
		}
		for _, a := range n.Status.Addresses {
			addr, err := netip.ParseAddr(a.Address)
			switch {
			case err != nil:
			case a.Type == corev1.NodeExternalIP:
				external = append(external, addr.Unmap())
			case a.Type == corev1.NodeInternalIP:
				internal = append(internal, addr.Unmap())
			}
		}
	}
	if len(external) > 0 {
		internal = external
	}
	slices.SortFunc(internal, netip.Addr.Compare)
	return slices.Compact(internal)
}

// wanted reports whether an address is of one of the service's families.
func wanted(svc *corev1.Service, a netip.Addr) bool {
	family := corev1.IPv6Protocol
	if a.Is4() {
		family = corev1.IPv4Protocol
	}
	return len(svc.Spec.IPFamilies) == 0 || slices.Contains(svc.Spec.IPFamilies, family)
}
