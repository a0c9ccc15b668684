package proxy

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// endpoint is one backend of one service port.
type endpoint struct {
	at                                 netip.AddrPort
	ready, serving, terminating, local bool
	nodeHints, zoneHints               []string
}

// endpointsOf collects a port's endpoints from all slices of a service, sorted, each address and port once. While an
// endpoint moves from one slice to another it may be in both; then the better condition counts.
func endpointsOf(eps []*discoveryv1.EndpointSlice, port *corev1.ServicePort, node Node, v6 bool) []endpoint {
	family := discoveryv1.AddressTypeIPv4
	if v6 {
		family = discoveryv1.AddressTypeIPv6
	}
	byAddr := map[netip.AddrPort]endpoint{}
	for _, s := range eps {
		if s.AddressType != family {
			continue
		}
		number, ok := portOf(s, port)
		if !ok {
			continue
		}
		for i := range s.Endpoints {
			e, ok := endpointOf(&s.Endpoints[i], number, node)
			if !ok {
				continue
			}
			if old, dup := byAddr[e.at]; !dup || e.ready && !old.ready {
				byAddr[e.at] = e
			}
		}
	}
	out := make([]endpoint, 0, len(byAddr))
	for _, e := range byAddr {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b endpoint) int { return compareBackends(a.at, b.at) })
	return out
}

func portOf(s *discoveryv1.EndpointSlice, port *corev1.ServicePort) (uint16, bool) {
	for _, p := range s.Ports {
		name, proto := "", corev1.ProtocolTCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			proto = *p.Protocol
		}
		if name == port.Name && protocols[proto] == protocols[port.Protocol] && p.Port != nil {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

func endpointOf(e *discoveryv1.Endpoint, port uint16, node Node) (endpoint, bool) {
	if len(e.Addresses) == 0 { // by API convention all addresses of one endpoint are the same pod; the first counts
		return endpoint{}, false
	}
	addr, err := netip.ParseAddr(e.Addresses[0])
	if err != nil {
		return endpoint{}, false
	}
	c := e.Conditions
	out := endpoint{
		at:          netip.AddrPortFrom(addr, port),
		ready:       c.Ready == nil || *c.Ready,
		serving:     c.Serving == nil || *c.Serving,
		terminating: c.Terminating != nil && *c.Terminating,
		local:       e.NodeName != nil && *e.NodeName == node.Name,
	}
	if e.Hints != nil {
		for _, z := range e.Hints.ForZones {
			out.zoneHints = append(out.zoneHints, z.Name)
		}
		for _, n := range e.Hints.ForNodes {
			out.nodeHints = append(out.nodeHints, n.Name)
		}
	}
	return out, true
}

func (e *endpoint) draining() bool { return e.serving && e.terminating }

// choose picks the endpoints for the Cluster traffic policy: the ready ones, or those hinted for this node or zone where
// hints are complete; without any, those that still serve while they terminate.
func choose(eps []endpoint, node Node) []netip.AddrPort {
	want := hinted(eps, node)
	if to := pick(eps, func(e *endpoint) bool { return e.ready && want(e) }); len(to) > 0 {
		return to
	}
	return pick(eps, (*endpoint).draining)
}

// chooseLocal picks those for the Local policy.
func chooseLocal(eps []endpoint) []netip.AddrPort {
	if to := pick(eps, func(e *endpoint) bool { return e.local && e.ready }); len(to) > 0 {
		return to
	}
	return pick(eps, func(e *endpoint) bool { return e.local && e.draining() })
}

// usable tells whether there is an endpoint anywhere that could answer.
func usable(eps []endpoint) bool {
	return slices.ContainsFunc(eps, func(e endpoint) bool { return e.ready || e.draining() })
}

func pick(eps []endpoint, keep func(*endpoint) bool) []netip.AddrPort {
	var out []netip.AddrPort
	for i := range eps {
		if keep(&eps[i]) {
			out = append(out, eps[i].at)
		}
	}
	return out
}

// hinted returns the filter of topology hints. They count only when every ready endpoint has one and one of them is for
// here: node hints first, then zone hints.
func hinted(eps []endpoint, node Node) func(*endpoint) bool {
	nodes, zones, ready := true, node.Zone != "", false
	forNode, forZone := false, false
	for i := range eps {
		e := &eps[i]
		if !e.ready {
			continue
		}
		ready = true
		nodes = nodes && len(e.nodeHints) > 0
		zones = zones && len(e.zoneHints) > 0
		forNode = forNode || slices.Contains(e.nodeHints, node.Name)
		forZone = forZone || slices.Contains(e.zoneHints, node.Zone)
	}
	switch {
	case ready && nodes && forNode:
		return func(e *endpoint) bool { return slices.Contains(e.nodeHints, node.Name) }
	case ready && zones && forZone:
		return func(e *endpoint) bool { return slices.Contains(e.zoneHints, node.Zone) }
	}
	return func(*endpoint) bool { return true }
}
