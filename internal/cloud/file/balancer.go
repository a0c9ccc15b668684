package file

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
)

// balancer is one of balancers.json.
type balancer struct {
	Name         string               `json:"name"` // of the service: NAMESPACE/NAME
	UID          string               `json:"uid"`
	Addresses    []string             `json:"addresses"`
	Ports        []corev1.ServicePort `json:"ports"`
	SourceRanges []string             `json:"sourceRanges,omitempty"`
	Nodes        []backend            `json:"nodes"`
}

type backend struct {
	Name      string               `json:"name"`
	Addresses []corev1.NodeAddress `json:"addresses"`
}

var compare = strings.Compare

func (s *sky) findLocked(svc *corev1.Service) int {
	return slices.IndexFunc(s.mu.balancers, func(b balancer) bool { return b.UID == string(svc.UID) })
}

// GetLoadBalancer implements cloud.LoadBalancer.
func (s *sky) GetLoadBalancer(_ context.Context, _ string, svc *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.findLocked(svc)
	if i < 0 {
		return nil, false, nil
	}
	return s.statusLocked(&s.mu.balancers[i]), true, nil
}

// GetLoadBalancerName implements cloud.LoadBalancer.
func (s *sky) GetLoadBalancerName(_ context.Context, _ string, svc *corev1.Service) string {
	return svc.Namespace + "/" + svc.Name
}

// EnsureLoadBalancer implements cloud.LoadBalancer.
func (s *sky) EnsureLoadBalancer(_ context.Context, _ string, svc *corev1.Service, nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.doc.Balancers == nil {
		return nil, fmt.Errorf("%s declares no balancers", s.path)
	}
	next := balancer{Name: svc.Namespace + "/" + svc.Name, UID: string(svc.UID), Ports: svc.Spec.Ports, SourceRanges: svc.Spec.LoadBalancerSourceRanges, Nodes: backends(nodes)}
	var has []string
	if i := s.findLocked(svc); i >= 0 {
		has = s.mu.balancers[i].Addresses
	}
	taken := map[string]bool{}
	for _, b := range s.mu.balancers {
		for _, a := range b.Addresses {
			taken[a] = taken[a] || b.UID != next.UID
		}
	}
	var err error
	if next.Addresses, err = choose(s.mu.doc.Balancers.ranges, svc, has, taken); err != nil {
		return nil, err
	}
	if err := s.putLocked(next); err != nil {
		return nil, err
	}
	return s.statusLocked(&next), nil
}

// UpdateLoadBalancer implements cloud.LoadBalancer.
func (s *sky) UpdateLoadBalancer(_ context.Context, _ string, svc *corev1.Service, nodes []*corev1.Node) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.findLocked(svc)
	if i < 0 {
		return fmt.Errorf("there is no balancer of %s/%s", svc.Namespace, svc.Name)
	}
	next := s.mu.balancers[i]
	next.Nodes = backends(nodes)
	return s.putLocked(next)
}

// EnsureLoadBalancerDeleted implements cloud.LoadBalancer.
func (s *sky) EnsureLoadBalancerDeleted(_ context.Context, _ string, svc *corev1.Service) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setBalancersLocked(slices.DeleteFunc(slices.Clone(s.mu.balancers), func(b balancer) bool { return b.UID == string(svc.UID) }))
}

func (s *sky) putLocked(b balancer) error {
	next := slices.DeleteFunc(slices.Clone(s.mu.balancers), func(have balancer) bool { return have.UID == b.UID })
	return s.setBalancersLocked(append(next, b))
}

func (s *sky) setBalancersLocked(next []balancer) error {
	slices.SortFunc(next, func(a, b balancer) int { return compare(a.Name, b.Name) })
	if err := keep(s.beside("balancers.json"), next); err != nil {
		return err
	}
	s.mu.balancers = next
	return nil
}

func (s *sky) statusLocked(b *balancer) *corev1.LoadBalancerStatus {
	mode := corev1.LoadBalancerIPModeVIP
	if d := s.mu.doc.Balancers; d != nil && d.IPMode != nil {
		mode = *d.IPMode
	}
	out := &corev1.LoadBalancerStatus{}
	for _, a := range b.Addresses {
		out.Ingress = append(out.Ingress, corev1.LoadBalancerIngress{IP: a, IPMode: &mode})
	}
	return out
}

func backends(nodes []*corev1.Node) []backend {
	out := []backend{}
	for _, n := range nodes {
		out = append(out, backend{n.Name, n.Status.Addresses})
	}
	return out
}

// choose picks an address of each family that a service has: the one it asks for, the one it has, or the first that is free.
func choose(ranges cloud.Ranges, svc *corev1.Service, has []string, taken map[string]bool) ([]string, error) {
	families := svc.Spec.IPFamilies
	if len(families) == 0 {
		families = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	var out []string
	for _, f := range families {
		a, err := chooseOne(ranges, f, svc.Spec.LoadBalancerIP, has, taken)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func chooseOne(ranges cloud.Ranges, family corev1.IPFamily, want string, has []string, taken map[string]bool) (string, error) {
	of := func(a netip.Addr) bool { return a.Is4() == (family == corev1.IPv4Protocol) }
	declared := func(s string) bool {
		a, err := netip.ParseAddr(s)
		return err == nil && of(a) && ranges.Has(a)
	}
	if a, err := netip.ParseAddr(want); err == nil && of(a) {
		switch {
		case !declared(want):
			return "", fmt.Errorf("spec.loadBalancerIP %s is not among the declared addresses", want)
		case taken[a.String()]:
			return "", fmt.Errorf("spec.loadBalancerIP %s belongs to another balancer", want)
		}
		return a.String(), nil
	}
	for _, s := range has {
		if declared(s) && !taken[s] {
			return s, nil
		}
	}
	if a := ranges.First(family == corev1.IPv6Protocol, func(a netip.Addr) bool { return !taken[a.String()] }); a.IsValid() {
		return a.String(), nil
	}
	return "", fmt.Errorf("no %s address is free", family)
}
