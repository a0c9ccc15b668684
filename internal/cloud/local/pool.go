package local

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pool implements cloud.LoadBalancer with addresses of ranges, each of which is one Service's alone. Whose they are is in the statuses of
// the Services; given has what was given out and may not be in the view of them yet. Calls come from several goroutines at a time.
type pool struct {
	ranges cloud.Ranges
	view   cloud.View

	mu struct {
		sync.Mutex
		given map[types.UID][]netip.Addr
	}
}

// GetLoadBalancer implements cloud.LoadBalancer.
func (p *pool) GetLoadBalancer(_ context.Context, _ string, svc *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &svc.Status.LoadBalancer, len(svc.Status.LoadBalancer.Ingress) > 0 || p.mu.given[svc.UID] != nil, nil
}

// GetLoadBalancerName implements cloud.LoadBalancer.
func (p *pool) GetLoadBalancerName(_ context.Context, _ string, svc *corev1.Service) string {
	return svc.Namespace + "/" + svc.Name
}

// EnsureLoadBalancer implements cloud.LoadBalancer. Its events are those that MetalLB tells of the same with.
func (p *pool) EnsureLoadBalancer(_ context.Context, _ string, svc *corev1.Service, _ []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	got, err := p.take(svc)
	if err != nil {
		key := svc.Namespace + "/" + svc.Name
		p.view.Event(svc, corev1.EventTypeWarning, "AllocationFailed", fmt.Sprintf("Failed to allocate IP for %q: %v", key, err))
		return nil, fmt.Errorf("failed to allocate IP for %q: %w", key, err)
	}
	if !slices.Equal(got, held(svc)) {
		p.view.Event(svc, corev1.EventTypeNormal, "IPAllocated", fmt.Sprintf("Assigned IP %q", got))
	}
	status, mode := &corev1.LoadBalancerStatus{}, corev1.LoadBalancerIPModeVIP
	for _, a := range got {
		status.Ingress = append(status.Ingress, corev1.LoadBalancerIngress{IP: a.String(), IPMode: &mode})
	}
	return status, nil
}

// take gives a Service its addresses.
func (p *pool) take(svc *corev1.Service) ([]netip.Addr, error) {
	c, err := claimOf(svc)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	services := p.view.Services()
	for uid := range p.mu.given { // of Services that went without asking for their balancer's end
		if uid != svc.UID && !slices.ContainsFunc(services, func(s *corev1.Service) bool { return s.UID == uid }) {
			delete(p.mu.given, uid)
		}
	}
	if c.has == nil {
		c.has = p.mu.given[svc.UID]
	}
	owners := p.ownersLocked(svc, services)
	got, err := assign(p.ranges, c, func(a netip.Addr) string { return owners[a] })
	if err != nil {
		delete(p.mu.given, svc.UID)
		return nil, err
	}
	p.mu.given[svc.UID] = got
	return got, nil
}

// ownersLocked says whose addresses are that are not a Service's to have. Of two Services whose statuses have the same, which nobody but a
// person can have written, the older keeps it.
func (p *pool) ownersLocked(svc *corev1.Service, services []*corev1.Service) map[netip.Addr]string {
	owners, mine := map[netip.Addr]string{}, held(svc)
	for _, n := range p.view.Nodes() {
		for _, a := range n.Status.Addresses {
			if addr, err := netip.ParseAddr(a.Address); err == nil {
				owners[addr.Unmap()] = "node " + n.Name
			}
		}
	}
	for _, other := range services {
		if other.UID == svc.UID {
			continue
		}
		name := "Service " + other.Namespace + "/" + other.Name
		for _, a := range p.mu.given[other.UID] {
			owners[a] = name
		}
		if other.Spec.Type != corev1.ServiceTypeLoadBalancer {
			continue
		}
		for _, a := range held(other) {
			if !slices.Contains(mine, a) || older(other, svc) {
				owners[a] = name
			}
		}
	}
	return owners
}

// UpdateLoadBalancer implements cloud.LoadBalancer: every node leads to the pods.
func (p *pool) UpdateLoadBalancer(context.Context, string, *corev1.Service, []*corev1.Node) error {
	return nil
}

// EnsureLoadBalancerDeleted implements cloud.LoadBalancer: the loop empties the status.
func (p *pool) EnsureLoadBalancerDeleted(_ context.Context, _ string, svc *corev1.Service) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.given, svc.UID)
	return nil
}
