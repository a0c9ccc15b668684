package proxy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Labels that take a service away from us.
const (
	labelProxyName = "service.kubernetes.io/service-proxy-name"
	labelHeadless  = "service.kubernetes.io/headless"
)

// Node is what a plan needs to know of the node it is for.
type Node struct {
	Name string
	Zone string // topology.kubernetes.io/zone, "" when it has none
}

var protocols = map[corev1.Protocol]uint8{"": unix.IPPROTO_TCP, corev1.ProtocolTCP: unix.IPPROTO_TCP, corev1.ProtocolUDP: unix.IPPROTO_UDP, corev1.ProtocolSCTP: unix.IPPROTO_SCTP}

// Plan says what a service asks of a node, in one address family. slices are all of the service's; svc may be nil.
func Plan(svc *corev1.Service, eps []*discoveryv1.EndpointSlice, node Node, v6 bool) Rules {
	r := Rules{Entries: map[Key]Entry{}}
	if svc == nil || svc.Spec.Type == corev1.ServiceTypeExternalName || svc.Labels[labelProxyName] != "" {
		return r
	}
	cluster, ok := clusterIP(svc, v6)
	if !ok {
		return r
	}
	r.ClusterIPs = []netip.Addr{cluster}
	local := map[netip.Addr]bool{}
	for i := range svc.Spec.Ports {
		port := &svc.Spec.Ports[i]
		proto, ok := protocols[port.Protocol]
		if !ok {
			continue
		}
		p := planPort(svc, port, endpointsOf(eps, port, node, v6), node)
		for _, b := range p.local {
			local[b] = true
		}
		r.Entries[Key{cluster, proto, uint16(port.Port)}] = p.inside
		for _, a := range addresses(svc.Spec.ExternalIPs, v6) {
			r.Entries[Key{a, proto, uint16(port.Port)}] = p.outside
		}
		balanced := keepClient(p.outside, p.local)
		balanced.Allow = sourceRanges(svc, v6)
		for _, a := range addresses(ingress(svc), v6) {
			r.Entries[Key{a, proto, uint16(port.Port)}] = balanced
		}
		if port.NodePort != 0 {
			r.Entries[Key{netip.Addr{}, proto, uint16(port.NodePort)}] = p.outside
		}
		if h := svc.Spec.HealthCheckNodePort; h != 0 && externalLocal(svc) && svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
			n := p.localReady
			if r.Health != nil {
				n = max(n, r.Health.Local)
			}
			r.Health = &Health{Port: uint16(h), Local: n}
		}
	}
	for a := range local {
		r.Local = append(r.Local, a)
	}
	slices.SortFunc(r.Local, netip.Addr.Compare)
	return r
}

// keepClient lets the pods behind a balancer's address see who their client is where all of them are on this node: then the answers
// come back through it anyway. local are the endpoints on this node.
func keepClient(e Entry, local []netip.Addr) Entry {
	if e.Front == nil || e.Front.Masquerade != Everyone {
		return e
	}
	for _, to := range e.Front.Backends {
		if !slices.Contains(local, to.Addr()) {
			return e
		}
	}
	front := *e.Front
	front.Masquerade = Nobody
	e.Front = &front
	return e
}

func clusterIP(svc *corev1.Service, v6 bool) (netip.Addr, bool) {
	ips := svc.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{svc.Spec.ClusterIP}
	}
	for _, s := range ips {
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() == v6 {
			return a, true
		}
	}
	return netip.Addr{}, false // headless, or not of this family
}

// ingress are the addresses of a service's load balancer. One that says it proxies (ipMode Proxy) has addresses of its own,
// which are none of our business.
func ingress(svc *corev1.Service) []string {
	var list []string
	if svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		for _, in := range svc.Status.LoadBalancer.Ingress {
			if in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP {
				list = append(list, in.IP)
			}
		}
	}
	return list
}

func addresses(list []string, v6 bool) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		if a, err := netip.ParseAddr(strings.TrimSpace(s)); err == nil && a.Is6() == v6 {
			out = append(out, a)
		}
	}
	return out
}

// sourceRanges are whom a load balancer is for; nil means everybody, which a range of all addresses means too.
func sourceRanges(svc *corev1.Service, v6 bool) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range svc.Spec.LoadBalancerSourceRanges {
		p, err := netip.ParsePrefix(strings.TrimSpace(s))
		if err != nil || p.Addr().Is6() != v6 {
			continue
		}
		if p.Bits() == 0 {
			return nil
		}
		all = append(all, p.Masked())
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
	})
	var out []netip.Prefix
	for _, p := range all { // the widest come first, so what lies in another is seen
		if !slices.ContainsFunc(out, p.Overlaps) {
			out = append(out, p)
		}
	}
	return out
}

func externalLocal(svc *corev1.Service) bool {
	return svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// planned is what one port of a service means to those inside and outside.
type planned struct {
	inside, outside Entry
	local           []netip.Addr
	localReady      int
}

func planPort(svc *corev1.Service, port *corev1.ServicePort, eps []endpoint, node Node) planned {
	var affinity uint32
	if svc.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		affinity = 10800
		if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			affinity = uint32(*c.ClientIP.TimeoutSeconds)
		}
	}
	cluster, local := choose(eps, node), chooseLocal(eps)
	balance := func(m Masquerade, to []netip.AddrPort) *Balance {
		if len(to) == 0 {
			return nil
		}
		return &Balance{Masquerade: m, Affinity: affinity, Backends: to}
	}
	refuse := func(to []netip.AddrPort) Refusal {
		switch {
		case len(to) > 0:
			return NotRefused
		case usable(eps):
			return Drop
		}
		return Reject
	}
	var p planned
	inside := cluster
	if i := svc.Spec.InternalTrafficPolicy; i != nil && *i == corev1.ServiceInternalTrafficPolicyLocal {
		inside = local
	}
	p.inside = Entry{Front: balance(Strangers, inside), Refuse: refuse(inside)}
	if externalLocal(svc) {
		p.outside = Entry{Front: balance(Nobody, local), Near: balance(Self, cluster), Refuse: refuse(local)}
	} else {
		p.outside = Entry{Front: balance(Everyone, cluster), Refuse: refuse(cluster)}
	}
	for _, e := range eps {
		if e.local {
			p.local = append(p.local, e.at.Addr())
			if e.ready {
				p.localReady++
			}
		}
	}
	return p
}
