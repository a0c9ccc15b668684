package stock

import (
	"context"
	"errors"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cloudprovider "k8s.io/cloud-provider"
)

// balancers implements cloud.LoadBalancer.
type balancers struct{ cloudprovider.LoadBalancer }

func (b balancers) EnsureLoadBalancer(ctx context.Context, cluster string, svc *corev1.Service, nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	out, err := b.LoadBalancer.EnsureLoadBalancer(ctx, cluster, svc, nodes)
	return out, known(err)
}

func (b balancers) UpdateLoadBalancer(ctx context.Context, cluster string, svc *corev1.Service, nodes []*corev1.Node) error {
	return known(b.LoadBalancer.UpdateLoadBalancer(ctx, cluster, svc, nodes))
}

func (b balancers) EnsureLoadBalancerDeleted(ctx context.Context, cluster string, svc *corev1.Service) error {
	return known(b.LoadBalancer.EnsureLoadBalancerDeleted(ctx, cluster, svc))
}

// instances implements cloud.InstancesV2.
type instances struct{ cloudprovider.InstancesV2 }

func (i instances) InstanceMetadata(ctx context.Context, n *corev1.Node) (*cloud.InstanceMetadata, error) {
	m, err := i.InstancesV2.InstanceMetadata(ctx, n)
	return (*cloud.InstanceMetadata)(m), known(err)
}

// older implements cloud.InstancesV2 by the calls that providers had before.
type older struct {
	cloud     cloudprovider.Interface
	instances cloudprovider.Instances
	zones     cloudprovider.Zones // nil: none
}

func (o older) id(ctx context.Context, n *corev1.Node) (string, error) {
	if n.Spec.ProviderID != "" {
		return n.Spec.ProviderID, nil
	}
	return cloudprovider.GetInstanceProviderID(ctx, o.cloud, types.NodeName(n.Name))
}

func (o older) InstanceExists(ctx context.Context, n *corev1.Node) (bool, error) {
	id, err := o.id(ctx, n)
	if errors.Is(err, cloudprovider.InstanceNotFound) {
		return false, nil
	}
	if err != nil {
		return false, known(err)
	}
	exists, err := o.instances.InstanceExistsByProviderID(ctx, id)
	return exists, known(err)
}

func (o older) InstanceShutdown(ctx context.Context, n *corev1.Node) (bool, error) {
	id, err := o.id(ctx, n)
	if err == nil {
		var down bool
		if down, err = o.instances.InstanceShutdownByProviderID(ctx, id); err == nil {
			return down, nil
		}
	}
	if errors.Is(err, cloudprovider.InstanceNotFound) || errors.Is(err, cloudprovider.NotImplemented) {
		return false, nil
	}
	return false, err
}

func (o older) InstanceMetadata(ctx context.Context, n *corev1.Node) (*cloud.InstanceMetadata, error) {
	name := types.NodeName(n.Name)
	id, err := o.id(ctx, n)
	if err != nil {
		return nil, known(err)
	}
	out := &cloud.InstanceMetadata{ProviderID: id}
	if out.NodeAddresses, err = o.instances.NodeAddressesByProviderID(ctx, id); err != nil {
		if out.NodeAddresses, err = o.instances.NodeAddresses(ctx, name); err != nil {
			return nil, known(err)
		}
	}
	if out.InstanceType, err = o.instances.InstanceTypeByProviderID(ctx, id); err != nil {
		if out.InstanceType, err = o.instances.InstanceType(ctx, name); err != nil {
			return nil, known(err)
		}
	}
	if o.zones == nil {
		return out, nil
	}
	zone, err := o.zones.GetZoneByProviderID(ctx, id)
	if err != nil {
		if zone, err = o.zones.GetZoneByNodeName(ctx, name); err != nil {
			return nil, known(err)
		}
	}
	out.Zone, out.Region = zone.FailureDomain, zone.Region
	return out, nil
}

// routes implements cloud.Routes.
type routes struct{ cloudprovider.Routes }

func (r routes) ListRoutes(ctx context.Context, cluster string) ([]*cloud.Route, error) {
	list, err := r.Routes.ListRoutes(ctx, cluster)
	var out []*cloud.Route
	for _, x := range list {
		out = append(out, (*cloud.Route)(x))
	}
	return out, known(err)
}

func (r routes) CreateRoute(ctx context.Context, cluster, hint string, x *cloud.Route) error {
	return known(r.Routes.CreateRoute(ctx, cluster, hint, (*cloudprovider.Route)(x)))
}

func (r routes) DeleteRoute(ctx context.Context, cluster string, x *cloud.Route) error {
	return known(r.Routes.DeleteRoute(ctx, cluster, (*cloudprovider.Route)(x)))
}
