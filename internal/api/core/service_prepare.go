package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	netutils "k8s.io/utils/net"
)

func prepareServiceCreate(s *corev1.Service) {
	s.Status = corev1.ServiceStatus{}
	if s.Spec.ClusterIP != "" && len(s.Spec.ClusterIPs) == 0 {
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP} // a client that knows only the singular
	}
	defaultFamilies(s, &corev1.Service{})
}

// prepareServiceUpdate infers what a client means that changes only some of a service's entangled fields: it fills in what
// was given out before and is not mentioned, and clears what the new type has no use for unless the client changed it too.
func prepareServiceUpdate(s, old *corev1.Service) {
	s.Status = old.Status
	keepGiven(s, old)
	alignClusterIPs(s, old)
	dropUnused(s, old)
	defaultFamilies(s, old)
}

// defaultFamilies settles the address families that the client leaves open, for a cluster whose services are IPv4 alone.
// old is empty on create. A policy is never inferred against what the service had, so that no update adds or releases an
// address unasked.
func defaultFamilies(s, old *corev1.Service) {
	spec := &s.Spec
	if spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	anyFamily := spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0 // its endpoints are someone else's
	if spec.IPFamilyPolicy == nil {
		switch {
		case old.Spec.IPFamilyPolicy != nil:
			spec.IPFamilyPolicy = old.Spec.IPFamilyPolicy
		case anyFamily:
			setDefaultPtr(&spec.IPFamilyPolicy, corev1.IPFamilyPolicyRequireDualStack)
		default:
			setDefaultPtr(&spec.IPFamilyPolicy, corev1.IPFamilyPolicySingleStack)
		}
	}
	single := *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
	if single && len(spec.ClusterIPs) > 1 && slices.Equal(spec.ClusterIPs, old.Spec.ClusterIPs) {
		spec.ClusterIPs = spec.ClusterIPs[:1:1]
	}
	if single && len(spec.IPFamilies) > 1 && slices.Equal(spec.IPFamilies, old.Spec.IPFamilies) {
		spec.IPFamilies = spec.IPFamilies[:1:1]
	}
	for i, ip := range spec.ClusterIPs {
		if f := familyOf(ip); f != "" && i >= len(spec.IPFamilies) {
			spec.IPFamilies = append(slices.Clone(spec.IPFamilies), f)
		}
	}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if anyFamily && !single && len(spec.IPFamilies) == 1 {
		other := corev1.IPv4Protocol
		if spec.IPFamilies[0] == corev1.IPv4Protocol {
			other = corev1.IPv6Protocol
		}
		spec.IPFamilies = []corev1.IPFamily{spec.IPFamilies[0], other}
	}
}

// familyOf returns the family of an address, "" for what is none.
func familyOf(ip string) corev1.IPFamily {
	switch {
	case netutils.IsIPv6String(ip):
		return corev1.IPv6Protocol
	case netutils.IsIPv4String(ip):
		return corev1.IPv4Protocol
	}
	return ""
}

func keepGiven(s, old *corev1.Service) {
	if needsClusterIP(s) && needsClusterIP(old) {
		setDefault(&s.Spec.ClusterIP, old.Spec.ClusterIP)
		if len(s.Spec.ClusterIPs) == 0 {
			s.Spec.ClusterIPs = slices.Clone(old.Spec.ClusterIPs)
		}
	}
	if needsNodePorts(s) && needsNodePorts(old) {
		taken, byName := map[int32]bool{}, map[string]int32{}
		for _, p := range s.Spec.Ports {
			taken[p.NodePort] = true
		}
		for _, p := range old.Spec.Ports {
			byName[p.Name] = p.NodePort
		}
		for i := range s.Spec.Ports {
			p := &s.Spec.Ports[i]
			if was := byName[p.Name]; p.NodePort == 0 && !taken[was] {
				p.NodePort = was
			}
		}
	}
	if needsHealthPort(s) && needsHealthPort(old) {
		setDefault(&s.Spec.HealthCheckNodePort, old.Spec.HealthCheckNodePort)
	}
}

// alignClusterIPs lets a client that knows only clusterIP change or clear it: clusterIPs, which it left as it was, follows.
func alignClusterIPs(s, old *corev1.Service) {
	if s.Spec.ClusterIP == old.Spec.ClusterIP || !slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs) {
		return
	}
	s.Spec.ClusterIPs = nil
	if s.Spec.ClusterIP != "" {
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	}
}

func dropUnused(s, old *corev1.Service) {
	if needsClusterIP(old) && !needsClusterIP(s) {
		if s.Spec.ClusterIP == old.Spec.ClusterIP && slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs) {
			s.Spec.ClusterIP, s.Spec.ClusterIPs = "", nil
		}
		if slices.Equal(s.Spec.IPFamilies, old.Spec.IPFamilies) {
			s.Spec.IPFamilies = nil
		}
		if equalPtr(s.Spec.IPFamilyPolicy, old.Spec.IPFamilyPolicy) {
			s.Spec.IPFamilyPolicy = nil
		}
		if equalPtr(s.Spec.InternalTrafficPolicy, old.Spec.InternalTrafficPolicy) {
			s.Spec.InternalTrafficPolicy = nil
		}
	}
	if needsNodePorts(old) && !needsNodePorts(s) && !addsNodePorts(s, old) {
		for i := range s.Spec.Ports {
			s.Spec.Ports[i].NodePort = 0
		}
	}
	if needsHealthPort(old) && !needsHealthPort(s) && s.Spec.HealthCheckNodePort == old.Spec.HealthCheckNodePort {
		s.Spec.HealthCheckNodePort = 0
	}
	if isBalanced(old) && !isBalanced(s) {
		if equalPtr(s.Spec.AllocateLoadBalancerNodePorts, old.Spec.AllocateLoadBalancerNodePorts) {
			s.Spec.AllocateLoadBalancerNodePorts = nil
		}
		if equalPtr(s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass) {
			s.Spec.LoadBalancerClass = nil
		}
	}
	if reachableFromOutside(old) && !reachableFromOutside(s) && s.Spec.ExternalTrafficPolicy == old.Spec.ExternalTrafficPolicy {
		s.Spec.ExternalTrafficPolicy = ""
	}
	if !isBalanced(s) {
		s.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
}

func addsNodePorts(s, old *corev1.Service) bool {
	had := map[int32]bool{0: true}
	for _, p := range old.Spec.Ports {
		had[p.NodePort] = true
	}
	return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return !had[p.NodePort] })
}

func needsClusterIP(s *corev1.Service) bool { return s.Spec.Type != corev1.ServiceTypeExternalName }

func needsNodePorts(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || isBalanced(s)
}

func needsHealthPort(s *corev1.Service) bool {
	return isBalanced(s) && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func isBalanced(s *corev1.Service) bool { return s.Spec.Type == corev1.ServiceTypeLoadBalancer }

func equalPtr[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}
