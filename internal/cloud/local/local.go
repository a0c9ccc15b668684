package local

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Name of the provider.
const Name = "local"

// Config of the provider.
type Config struct {
	// Reserved are ports of the nodes' own addresses that no service gets, and whose they are.
	Reserved map[Port]string
	// Ranges are what Services get addresses of that are theirs alone, and that a node has to announce; nil: they get the nodes' own.
	Ranges cloud.Ranges
}

// Port is one of a node.
type Port struct {
	Protocol corev1.Protocol
	Number   int32
}

// String is "80/TCP".
func (p Port) String() string { return fmt.Sprintf("%d/%s", p.Number, p.Protocol) }

// New makes the provider.
func New(cfg Config) *cloud.Provider {
	if cfg.Ranges != nil {
		p := &pool{ranges: cfg.Ranges}
		p.mu.given = map[types.UID][]netip.Addr{}
		return &cloud.Provider{Name: Name, Balancers: p, Begin: func(v cloud.View) { p.view = v }, Announced: cfg.Ranges.Has}
	}
	b := &balancers{cfg: cfg}
	return &cloud.Provider{Name: Name, Balancers: b, Begin: func(v cloud.View) { b.view = v }, Matters: matters}
}

// balancers implements cloud.LoadBalancer with the nodes' addresses. What a service has is in its status, so nothing is kept here.
type balancers struct {
	cfg  Config
	view cloud.View
}

// GetLoadBalancer implements cloud.LoadBalancer.
func (b *balancers) GetLoadBalancer(_ context.Context, _ string, svc *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	return &svc.Status.LoadBalancer, len(svc.Status.LoadBalancer.Ingress) > 0, nil
}

// GetLoadBalancerName implements cloud.LoadBalancer.
func (b *balancers) GetLoadBalancerName(_ context.Context, _ string, svc *corev1.Service) string {
	return svc.Namespace + "/" + svc.Name
}

// EnsureLoadBalancer implements cloud.LoadBalancer.
func (b *balancers) EnsureLoadBalancer(_ context.Context, _ string, svc *corev1.Service, nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	return place(svc, b.view.Services(), nodes, b.cfg.Reserved)
}

// UpdateLoadBalancer implements cloud.LoadBalancer; it is not called, see Matters.
func (b *balancers) UpdateLoadBalancer(context.Context, string, *corev1.Service, []*corev1.Node) error {
	return errors.New("the addresses of a service change with the nodes")
}

// EnsureLoadBalancerDeleted implements cloud.LoadBalancer: the loop empties the status.
func (b *balancers) EnsureLoadBalancerDeleted(context.Context, string, *corev1.Service) error {
	return nil
}
