package stock

import (
	"errors"
	"io"
	"net"
	"testing"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/fake"
)

// upstream's own provider for tests, by the interface of now and by that of old.
func TestUpstreamsProvider(t *testing.T) {
	for name, v2 := range map[string]bool{"v2": true, "older": false} {
		t.Run(name, func(t *testing.T) {
			sky := &fake.Cloud{EnableInstancesV2: v2, ExistsByProviderID: true, ExternalIP: net.ParseIP("192.0.2.1"),
				Addresses:     []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
				ExtID:         map[types.NodeName]string{"n": "7"},
				ProviderID:    map[types.NodeName]string{"n": "fake://7"},
				InstanceTypes: map[types.NodeName]string{"n": "big", "fake://7": "big"},
				RouteMap:      map[string]*fake.Route{},
				Zone:          cloudprovider.Zone{FailureDomain: "z", Region: "r"}}
			registered := "fake-" + name
			cloudprovider.RegisterCloudProvider(registered, func(io.Reader) (cloudprovider.Interface, error) { return sky, nil })
			p, err := Open(registered, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			p.Initialize(t.Context().Done())
			if !p.ClusterID() {
				t.Error("no cluster ID")
			}
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: corev1.NodeSpec{ProviderID: "fake://7"}} // the fake looks nowhere else for the type
			m, err := p.Instances.InstanceMetadata(t.Context(), n)
			if err != nil || m.ProviderID != "fake://7" || m.InstanceType != "big" || m.Zone != "z" || m.Region != "r" || len(m.NodeAddresses) != 1 {
				t.Errorf("%+v %v", m, err)
			}
			if exists, err := p.Instances.InstanceExists(t.Context(), n); !exists || err != nil {
				t.Errorf("exists %v %v", exists, err)
			}
			sky.NodeShutdown = true
			if down, err := p.Instances.InstanceShutdown(t.Context(), n); !down || err != nil {
				t.Errorf("shut down %v %v", down, err)
			}
			svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", UID: "u"}}
			st, err := p.Balancers.EnsureLoadBalancer(t.Context(), "c", svc, []*corev1.Node{n})
			if err != nil || len(st.Ingress) != 1 || st.Ingress[0].IP != "192.0.2.1" {
				t.Errorf("%+v %v", st, err)
			}
			sky.Err = cloudprovider.ImplementedElsewhere
			if _, err := p.Balancers.EnsureLoadBalancer(t.Context(), "c", svc, nil); !errors.Is(err, cloud.ErrImplementedElsewhere) || err.Error() != sky.Err.Error() {
				t.Errorf("elsewhere: %v", err)
			}
			sky.Err = nil
			if err := p.Routes.CreateRoute(t.Context(), "c", "hint", &cloud.Route{TargetNode: "n", DestinationCIDR: "10.244.0.0/24"}); err != nil {
				t.Error(err)
			}
			routes, err := p.Routes.ListRoutes(t.Context(), "c")
			if err != nil || len(routes) != 1 || routes[0].TargetNode != "n" {
				t.Fatalf("%v %v", routes, err)
			}
			if err := p.Routes.DeleteRoute(t.Context(), "c", routes[0]); err != nil {
				t.Error(err)
			}
		})
	}
}
