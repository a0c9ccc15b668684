package cloud

import (
	"context"
	"errors"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Provider is a cloud. What it does not offer is nil, and the loop for it is not run.
type Provider struct {
	Name      string
	Balancers LoadBalancer
	Instances InstancesV2
	Routes    Routes

	// ClusterID reports whether the cloud can tell this cluster from others. Nil means that it need not.
	ClusterID func() bool

	// Initialize, where it is not nil, is called once before the loops start; what it starts ends with stop.
	Initialize func(stop <-chan struct{})

	// Begin is called once before anything else is asked of the provider, with what it may look at; nil is fine. Run, where it
	// is not nil, is what the provider does on its own accord until ctx ends; it calls changed when something in the cloud is
	// no longer as it was, so that the loops need not wait for their next look.
	Begin func(View)
	Run   func(ctx context.Context, changed func()) error

	// Matters is what of a node decides where balancers lead, beside whether it may be led to and its provider ID. A provider
	// that has it gets EnsureLoadBalancer when that changes, since the status may change with it, and not UpdateLoadBalancer.
	Matters func(*corev1.Node) string

	// Announced reports whether an address of a balancer is one that a node has to announce on its network, so that what is sent
	// to it comes to that node. Nil means that none is.
	Announced func(netip.Addr) bool
}

// View is what a provider in the process sees of the cluster, and how it tells people something about a Service; the objects are frozen.
type View struct {
	Services func() []*corev1.Service
	Nodes    func() []*corev1.Node
	Event    func(svc *corev1.Service, eventType, reason, message string)
}

// LoadBalancer is what a cloud does for Services of type LoadBalancer. Services and nodes are frozen.
type LoadBalancer interface {
	// GetLoadBalancer says whether the balancer of a service exists, and how it is.
	GetLoadBalancer(ctx context.Context, clusterName string, service *corev1.Service) (status *corev1.LoadBalancerStatus, exists bool, err error)
	// GetLoadBalancerName is the name that the cloud has for it.
	GetLoadBalancerName(ctx context.Context, clusterName string, service *corev1.Service) string
	// EnsureLoadBalancer makes it, or makes it what the service asks for. An error with a method RetryAfter() time.Duration
	// brings the service again after that time, instead of after its backoff.
	EnsureLoadBalancer(ctx context.Context, clusterName string, service *corev1.Service, nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error)
	// UpdateLoadBalancer makes it lead to these nodes.
	UpdateLoadBalancer(ctx context.Context, clusterName string, service *corev1.Service, nodes []*corev1.Node) error
	// EnsureLoadBalancerDeleted deletes it; that it is not there is no error.
	EnsureLoadBalancerDeleted(ctx context.Context, clusterName string, service *corev1.Service) error
}

// InstancesV2 is what a cloud knows of machines. Nodes are found by spec.providerID, or by their name while they have none.
type InstancesV2 interface {
	InstanceExists(ctx context.Context, node *corev1.Node) (bool, error)
	InstanceShutdown(ctx context.Context, node *corev1.Node) (bool, error)
	InstanceMetadata(ctx context.Context, node *corev1.Node) (*InstanceMetadata, error)
}

// InstanceMetadata is what a node is told of its machine. The fields are those of upstream's, in their order.
type InstanceMetadata struct {
	ProviderID       string
	InstanceType     string
	NodeAddresses    []corev1.NodeAddress
	Zone             string
	Region           string
	AdditionalLabels map[string]string
}

// Routes is what a cloud does so that nodes reach the pods of others.
type Routes interface {
	ListRoutes(ctx context.Context, clusterName string) ([]*Route, error)
	// CreateRoute makes a route. Its Name is the cloud's to choose; nameHint may help.
	CreateRoute(ctx context.Context, clusterName string, nameHint string, route *Route) error
	// DeleteRoute deletes a route, as ListRoutes returned it.
	DeleteRoute(ctx context.Context, clusterName string, route *Route) error
}

// Route leads a range of pods' addresses to a node. The fields are those of upstream's, in their order.
type Route struct {
	Name                string
	TargetNode          types.NodeName
	EnableNodeAddresses bool // TargetNodeAddresses count when routes are compared
	TargetNodeAddresses []corev1.NodeAddress
	DestinationCIDR     string
	Blackhole           bool // leads nowhere, and is to go
}

// What providers answer that is no failure.
var (
	ErrInstanceNotFound = errors.New("instance not found")
	// ErrImplementedElsewhere says that another program looks after this balancer.
	ErrImplementedElsewhere = errors.New("implemented by alternate to cloud provider")
	ErrNotImplemented       = errors.New("unimplemented")
)

// RetryAfter is the time after which the maker of an error wants to be asked again; 0 when it does not say.
func RetryAfter(err error) time.Duration {
	var e interface{ RetryAfter() time.Duration }
	if errors.As(err, &e) {
		return e.RetryAfter()
	}
	return 0
}
