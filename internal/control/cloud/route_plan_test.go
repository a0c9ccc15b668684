package cloud

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestPlanRoutes(t *testing.T) {
	ranges := []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}
	one, two := address("InternalIP", "10.0.0.1"), address("InternalIP", "10.0.0.2")
	node := func(name string, addresses []corev1.NodeAddress, cidrs ...string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: cidrs}, Status: corev1.NodeStatus{Addresses: addresses}}
	}
	route := func(name, node, cidr string) *cloud.Route {
		return &cloud.Route{Name: name, TargetNode: types.NodeName(node), DestinationCIDR: cidr}
	}
	hole := route("hole", "", "10.244.9.0/24")
	hole.Blackhole = true
	byAddress := func(a corev1.NodeAddress) *cloud.Route {
		r := route("r", "n", "10.244.0.0/24")
		r.EnableNodeAddresses, r.TargetNodeAddresses = true, []corev1.NodeAddress{a}
		return r
	}
	n := node("n", []corev1.NodeAddress{one}, "10.244.0.0/24")
	for _, c := range []struct {
		name       string
		nodes      []*corev1.Node
		routes     []*cloud.Route
		gone, come string
	}{
		{"none yet", []*corev1.Node{n}, nil, "", "n=10.244.0.0/24"},
		{"there", []*corev1.Node{n}, []*cloud.Route{route("r", "n", "10.244.0.0/24")}, "", ""},
		{"no range yet", []*corev1.Node{node("n", nil)}, nil, "", ""},
		{"two ranges", []*corev1.Node{node("n", nil, "10.244.0.0/24", "fd00::/64")}, nil, "", "n=10.244.0.0/24 n=fd00::/64"},
		{"of a node that is gone", nil, []*cloud.Route{route("r", "n", "10.244.0.0/24")}, "r", ""},
		{"to another node", []*corev1.Node{n}, []*cloud.Route{route("r", "m", "10.244.0.0/24")}, "r", "n=10.244.0.0/24"},
		{"somebody else's range", nil, []*cloud.Route{route("r", "n", "172.16.0.0/24")}, "", ""},
		{"no range at all", nil, []*cloud.Route{route("r", "n", "nonsense")}, "", ""},
		{"black hole", nil, []*cloud.Route{hole}, "hole", ""},
		{"twice", []*corev1.Node{n}, []*cloud.Route{route("a", "n", "10.244.0.0/24"), route("b", "n", "10.244.0.0/24")}, "b", ""},
		{"same address", []*corev1.Node{n}, []*cloud.Route{byAddress(one)}, "", ""},
		{"other address", []*corev1.Node{n}, []*cloud.Route{byAddress(two)}, "r", "n=10.244.0.0/24"},
	} {
		gone, come := planRoutes(c.nodes, c.routes, ranges)
		var g, k []string
		for _, r := range gone {
			g = append(g, r.Name)
		}
		for _, r := range come {
			k = append(k, string(r.route.TargetNode)+"="+r.route.DestinationCIDR)
		}
		slices.Sort(k)
		if strings.Join(g, " ") != c.gone || strings.Join(k, " ") != c.come {
			t.Errorf("%s: gone %v, come %v", c.name, g, k)
		}
	}
}
