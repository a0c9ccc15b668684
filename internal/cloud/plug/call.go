package plug

import (
	"context"
	"encoding/json"
	"time"

	"sampan.dev/internal/cloud"
	"sampan.dev/internal/cloud/plug/cloudv1"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// sky implements cloud.InstancesV2, balancers cloud.LoadBalancer and routes cloud.Routes, by calling the program.
type sky struct{ cloudv1.CloudClient }

type balancers struct{ *sky }

type routes struct{ *sky }

func (s *sky) machine(ctx context.Context, n *corev1.Node) (*cloudv1.GetMachineResponse, error) {
	m, err := s.GetMachine(ctx, &cloudv1.GetMachineRequest{Node: nodeOf(n)})
	return m, said(err)
}

// InstanceExists implements cloud.InstancesV2.
func (s *sky) InstanceExists(ctx context.Context, n *corev1.Node) (bool, error) {
	m, err := s.machine(ctx, n)
	return m.GetFound(), err
}

// InstanceShutdown implements cloud.InstancesV2.
func (s *sky) InstanceShutdown(ctx context.Context, n *corev1.Node) (bool, error) {
	m, err := s.machine(ctx, n)
	return m.GetShutDown(), err
}

// InstanceMetadata implements cloud.InstancesV2.
func (s *sky) InstanceMetadata(ctx context.Context, n *corev1.Node) (*cloud.InstanceMetadata, error) {
	m, err := s.machine(ctx, n)
	switch {
	case err != nil:
		return nil, err
	case !m.Found:
		return nil, cloud.ErrInstanceNotFound
	}
	return &cloud.InstanceMetadata{ProviderID: m.ProviderId, InstanceType: m.InstanceType, NodeAddresses: addressesFrom(m.Addresses),
		Zone: m.Zone, Region: m.Region, AdditionalLabels: m.Labels}, nil
}

// GetLoadBalancer implements cloud.LoadBalancer.
func (b balancers) GetLoadBalancer(ctx context.Context, cluster string, svc *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	out, err := b.GetBalancer(ctx, &cloudv1.GetBalancerRequest{Cluster: cluster, Service: serviceOf(svc)})
	return &svc.Status.LoadBalancer, out.GetFound(), said(err)
}

// GetLoadBalancerName implements cloud.LoadBalancer.
func (b balancers) GetLoadBalancerName(_ context.Context, _ string, svc *corev1.Service) string {
	return string(svc.UID)
}

// EnsureLoadBalancer implements cloud.LoadBalancer.
func (b balancers) EnsureLoadBalancer(ctx context.Context, cluster string, svc *corev1.Service, nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	req := &cloudv1.EnsureBalancerRequest{Cluster: cluster, Service: serviceOf(svc)}
	for _, n := range nodes {
		req.Nodes = append(req.Nodes, nodeOf(n))
	}
	out, err := b.EnsureBalancer(ctx, req)
	switch {
	case err != nil:
		return nil, said(err)
	case out.Elsewhere:
		return nil, cloud.ErrImplementedElsewhere
	case out.RetryAfterSeconds > 0:
		return nil, waiting{out.WaitingFor, time.Duration(out.RetryAfterSeconds * float64(time.Second))}
	}
	status := &corev1.LoadBalancerStatus{}
	for _, in := range out.Ingress {
		next := corev1.LoadBalancerIngress{IP: in.Ip, Hostname: in.Hostname}
		if in.Ip != "" {
			mode := corev1.LoadBalancerIPModeVIP
			if in.Proxy {
				mode = corev1.LoadBalancerIPModeProxy
			}
			next.IPMode = &mode
		}
		status.Ingress = append(status.Ingress, next)
	}
	return status, nil
}

// waiting is the answer of a program whose balancer is not ready.
type waiting struct {
	what  string
	after time.Duration
}

func (w waiting) Error() string             { return w.what }
func (w waiting) RetryAfter() time.Duration { return w.after }

// UpdateLoadBalancer implements cloud.LoadBalancer.
func (b balancers) UpdateLoadBalancer(ctx context.Context, cluster string, svc *corev1.Service, nodes []*corev1.Node) error {
	_, err := b.EnsureLoadBalancer(ctx, cluster, svc, nodes)
	return err
}

// EnsureLoadBalancerDeleted implements cloud.LoadBalancer.
func (b balancers) EnsureLoadBalancerDeleted(ctx context.Context, cluster string, svc *corev1.Service) error {
	_, err := b.DeleteBalancer(ctx, &cloudv1.DeleteBalancerRequest{Cluster: cluster, Service: serviceOf(svc)})
	return said(err)
}

// ListRoutes implements cloud.Routes.
func (s routes) ListRoutes(ctx context.Context, cluster string) ([]*cloud.Route, error) {
	list, err := s.CloudClient.ListRoutes(ctx, &cloudv1.ListRoutesRequest{Cluster: cluster})
	if err != nil {
		return nil, said(err)
	}
	var out []*cloud.Route
	for _, r := range list.Routes {
		out = append(out, &cloud.Route{Name: r.Name, TargetNode: types.NodeName(r.Node), EnableNodeAddresses: r.CompareAddresses,
			TargetNodeAddresses: addressesFrom(r.Addresses), DestinationCIDR: r.Destination, Blackhole: r.Blackhole})
	}
	return out, nil
}

// CreateRoute implements cloud.Routes.
func (s routes) CreateRoute(ctx context.Context, cluster, hint string, r *cloud.Route) error {
	_, err := s.CloudClient.CreateRoute(ctx, &cloudv1.CreateRouteRequest{Cluster: cluster, NameHint: hint, Route: routeOf(r)})
	return said(err)
}

// DeleteRoute implements cloud.Routes.
func (s routes) DeleteRoute(ctx context.Context, cluster string, r *cloud.Route) error {
	_, err := s.CloudClient.DeleteRoute(ctx, &cloudv1.DeleteRouteRequest{Cluster: cluster, Route: routeOf(r)})
	return said(err)
}

func routeOf(r *cloud.Route) *cloudv1.Route {
	return &cloudv1.Route{Name: r.Name, Node: string(r.TargetNode), Destination: r.DestinationCIDR, Addresses: addressesOf(r.TargetNodeAddresses),
		CompareAddresses: r.EnableNodeAddresses, Blackhole: r.Blackhole}
}

func addressesOf(list []corev1.NodeAddress) (out []*cloudv1.Address) {
	for _, a := range list {
		out = append(out, &cloudv1.Address{Type: string(a.Type), Address: a.Address})
	}
	return out
}

func addressesFrom(list []*cloudv1.Address) (out []corev1.NodeAddress) {
	for _, a := range list {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeAddressType(a.Type), Address: a.Address})
	}
	return out
}

func nodeOf(n *corev1.Node) *cloudv1.Node {
	whole, _ := json.Marshal(n) // no value of these types fails to encode
	return &cloudv1.Node{Name: n.Name, ProviderId: n.Spec.ProviderID, Labels: n.Labels, Addresses: addressesOf(n.Status.Addresses), Json: whole}
}

func serviceOf(svc *corev1.Service) *cloudv1.Service {
	whole, _ := json.Marshal(svc) // no value of these types fails to encode
	out := &cloudv1.Service{Namespace: svc.Namespace, Name: svc.Name, Uid: string(svc.UID), Annotations: svc.Annotations,
		SourceRanges: svc.Spec.LoadBalancerSourceRanges, Address: svc.Spec.LoadBalancerIP,
		Local: svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal, HealthCheckPort: svc.Spec.HealthCheckNodePort, Json: whole}
	for _, f := range svc.Spec.IPFamilies {
		out.Families = append(out.Families, string(f))
	}
	for _, p := range svc.Spec.Ports {
		out.Ports = append(out.Ports, &cloudv1.Port{Name: p.Name, Protocol: string(p.Protocol), Port: p.Port, NodePort: p.NodePort})
	}
	return out
}
