package main

// A cloud for the sample program of k8s.io/cloud-provider (sample/basic_main.go), which stockccm.sh puts beside it, unchanged. It has a
// machine for each node whose name does not begin with "gone", balancers with addresses of 203.0.113.0/24, and routes.

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cloudprovider "k8s.io/cloud-provider"
)

func init() {
	cloudprovider.RegisterCloudProvider("lab", func(io.Reader) (cloudprovider.Interface, error) {
		return &lab{balancers: map[types.UID]int{}, routes: map[string]*cloudprovider.Route{}}, nil
	})
}

type lab struct {
	mu        sync.Mutex
	given     int
	balancers map[types.UID]int
	routes    map[string]*cloudprovider.Route
}

func (l *lab) Initialize(cloudprovider.ControllerClientBuilder, <-chan struct{}) {}
func (l *lab) LoadBalancer() (cloudprovider.LoadBalancer, bool)                  { return l, true }
func (l *lab) Instances() (cloudprovider.Instances, bool)                        { return nil, false }
func (l *lab) InstancesV2() (cloudprovider.InstancesV2, bool)                    { return l, true }
func (l *lab) Zones() (cloudprovider.Zones, bool)                                { return nil, false }
func (l *lab) Clusters() (cloudprovider.Clusters, bool)                          { return nil, false }
func (l *lab) Routes() (cloudprovider.Routes, bool)                              { return l, true }
func (l *lab) ProviderName() string                                              { return "lab" }
func (l *lab) HasClusterID() bool                                                { return true }

func (l *lab) InstanceExists(_ context.Context, n *v1.Node) (bool, error) {
	return !strings.HasPrefix(n.Name, "gone"), nil
}

func (l *lab) InstanceShutdown(_ context.Context, n *v1.Node) (bool, error) {
	return strings.HasPrefix(n.Name, "off"), nil
}

func (l *lab) InstanceMetadata(_ context.Context, n *v1.Node) (*cloudprovider.InstanceMetadata, error) {
	m := &cloudprovider.InstanceMetadata{ProviderID: "lab://" + n.Name, InstanceType: "lab.large", Zone: "lab-1a", Region: "lab-1"}
	for _, a := range n.Status.Addresses {
		if a.Type == v1.NodeInternalIP {
			m.NodeAddresses = append(m.NodeAddresses, a)
		}
	}
	m.NodeAddresses = append(m.NodeAddresses, v1.NodeAddress{Type: v1.NodeExternalIP, Address: "203.0.113.7"})
	return m, nil
}

func (l *lab) status(i int) *v1.LoadBalancerStatus {
	return &v1.LoadBalancerStatus{Ingress: []v1.LoadBalancerIngress{{IP: fmt.Sprintf("203.0.113.%d", 16+i)}}}
}

func (l *lab) GetLoadBalancer(_ context.Context, _ string, s *v1.Service) (*v1.LoadBalancerStatus, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.balancers[s.UID]
	return l.status(i), ok, nil
}

func (l *lab) GetLoadBalancerName(_ context.Context, _ string, s *v1.Service) string { return s.Name }

func (l *lab) EnsureLoadBalancer(_ context.Context, _ string, s *v1.Service, _ []*v1.Node) (*v1.LoadBalancerStatus, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.balancers[s.UID]
	if !ok {
		l.given++
		i = l.given
		l.balancers[s.UID] = i
	}
	return l.status(i), nil
}

func (l *lab) UpdateLoadBalancer(context.Context, string, *v1.Service, []*v1.Node) error { return nil }

func (l *lab) EnsureLoadBalancerDeleted(_ context.Context, _ string, s *v1.Service) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.balancers, s.UID)
	return nil
}

func (l *lab) ListRoutes(context.Context, string) ([]*cloudprovider.Route, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*cloudprovider.Route
	for _, r := range l.routes {
		out = append(out, r)
	}
	return out, nil
}

func (l *lab) CreateRoute(_ context.Context, _, hint string, r *cloudprovider.Route) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	made := *r
	made.Name = hint + r.DestinationCIDR
	l.routes[made.Name] = &made
	return nil
}

func (l *lab) DeleteRoute(_ context.Context, _ string, r *cloudprovider.Route) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.routes, r.Name)
	return nil
}
