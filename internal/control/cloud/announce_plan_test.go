package cloud

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// announced makes an announcement whose endpoints are on the nodes that the fields of ready name, once for each.
func announced(key string, local bool, ready string) *announcement {
	a := &announcement{key: key, addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, local: local, ready: map[string]int{}, serving: map[string]int{}}
	for _, n := range strings.Fields(ready) {
		a.ready[n]++
		a.serving[n]++
	}
	return a
}

func TestPick(t *testing.T) {
	for _, c := range []struct {
		name  string
		local bool
		ready string
		nodes string
		was   string
		loose bool
		want  string // one of these
	}{
		{"no node", false, "a", "", "a", false, ""},
		{"any node", false, "", "a b", "", false, "a b"},
		{"the node with all pods", false, "b b", "a b", "", false, "b"},
		{"a node with some", false, "a b", "a b c", "", false, "a b"},
		{"stays", false, "b", "a b", "a", false, "a"},
		{"is gone", false, "b", "b c", "a", false, "b"},
		{"had nothing to lose", false, "b", "a b", "a", true, "b"},
		{"had nothing to lose, and is as good", false, "a b", "a b", "a", true, "a"},
		{"local", true, "b", "a b c", "", false, "b"},
		{"local stays", true, "a b", "a b c", "a", false, "a"},
		{"local moves to the pods", true, "b", "a b c", "a", false, "b"},
		{"local, and the pods are on no node that may", true, "d", "a b", "a", false, "a"},
		{"local without pods", true, "", "a b", "b", false, "b"},
	} {
		got := announced("ns/s", c.local, c.ready).pick(strings.Fields(c.nodes), c.was, c.loose)
		if got != c.want && !slices.Contains(strings.Fields(c.want), got) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	ending := announced("ns/s", true, "")
	ending.serving["b"] = 1
	if got := ending.pick([]string{"a", "b"}, "", false); got != "b" {
		t.Errorf("pods that end but serve: %q", got)
	}
}

func TestAnnouncementOf(t *testing.T) {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}}
	svc.Spec.Type = corev1.ServiceTypeLoadBalancer
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.10"}, {IP: "203.0.113.1"}, {Hostname: "x"}}
	no, a, b := false, "a", "b"
	eps := []*discoveryv1.EndpointSlice{{Endpoints: []discoveryv1.Endpoint{{NodeName: &a}, {NodeName: &b, Conditions: discoveryv1.EndpointConditions{Ready: &no}}, {}}}}
	mine := func(x netip.Addr) bool { return x == netip.MustParseAddr("192.0.2.10") }
	got := announcementOf(svc, eps, mine)
	if got == nil || fmt.Sprintf("%v %v %v %v %v", got.key, got.addresses, got.local, got.ready, got.serving) != "ns/s [192.0.2.10] false map[a:1] map[a:1 b:1]" {
		t.Errorf("%+v", got)
	}
	class := "x/y"
	for name, change := range map[string]func(*corev1.Service){
		"a class":        func(s *corev1.Service) { s.Spec.LoadBalancerClass = &class },
		"another type":   func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort },
		"other adresses": func(s *corev1.Service) { s.Status.LoadBalancer.Ingress = s.Status.LoadBalancer.Ingress[1:] },
	} {
		other := svc.DeepCopy()
		change(other)
		if a := announcementOf(other, eps, mine); a != nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func announcingNode(name, annotation string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if annotation != "" {
		n.Annotations = map[string]string{api.AnnotationAnnounced: annotation}
	}
	n.Status.NodeInfo.KubeletVersion = "v1.37.1+sampan1"
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return n
}

func TestAnnouncers(t *testing.T) {
	change := func(name string, f func(*corev1.Node)) *corev1.Node { n := announcingNode(name, ""); f(n); return n }
	got := announcers([]*corev1.Node{
		announcingNode("good", ""),
		change("stock", func(n *corev1.Node) { n.Status.NodeInfo.KubeletVersion = "v1.37.1" }),
		change("silent", func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }),
		change("cut", func(n *corev1.Node) {
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionTrue})
		}),
		change("excluded", func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelNodeExcludeBalancers: ""} }),
	})
	if !slices.Equal(got, []string{"good"}) {
		t.Errorf("%q", got)
	}
}

// Whatever nodes announce and whoever may: carrying the plan out has each address announced by one node that may, at no time by two that did
// not both before, and a second plan changes nothing.
func TestAnnouncingIsExclusive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "d"}
	for round := range 2000 {
		var list []*announcement
		for i := range r.IntN(6) {
			a := announced(fmt.Sprintf("ns/s%d", i), r.IntN(2) == 0, names[r.IntN(4)]+" "+names[r.IntN(4)])
			a.addresses = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
			list = append(list, a)
		}
		var nodes []*corev1.Node
		for _, name := range names {
			var has []netip.Addr
			for range r.IntN(4) {
				has = append(has, netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(8))}))
			}
			n := announcingNode(name, formatAnnounced(has))
			if r.IntN(4) == 0 {
				n.Status.Conditions[0].Status = corev1.ConditionUnknown
			}
			nodes = append(nodes, n)
		}
		before := holders(nodes)
		plan := planAnnouncing(list, announcers(nodes), announcedBy(nodes), nil)
		for _, w := range plan.annotations(nodes) {
			w.node.Annotations = map[string]string{api.AnnotationAnnounced: w.value}
			for a, by := range holders(nodes) {
				if len(by) > 1 && len(by) > len(before[a]) {
					t.Fatalf("round %d: %s is announced by %v, before by %v", round, a, by, before[a])
				}
			}
		}
		may, after := announcers(nodes), holders(nodes)
		for _, a := range list {
			by := after[a.addresses[0]]
			if len(may) > 0 && (len(by) != 1 || !slices.Contains(may, by[0])) || len(may) == 0 && len(by) > 0 {
				t.Fatalf("round %d: %s is announced by %v, of %v", round, a.key, by, may)
			}
		}
		if len(after) > len(list) {
			t.Fatalf("round %d: %v is announced for %d services", round, after, len(list))
		}
		again := planAnnouncing(list, may, announcedBy(nodes), nil)
		if w := again.annotations(nodes); len(w) > 0 {
			t.Fatalf("round %d: a second look writes %+v", round, w)
		}
		if moved := again.moved(list, announcedBy(nodes)); len(moved) > 0 {
			t.Fatalf("round %d: a second look moves %q", round, moved)
		}
	}
}

func holders(nodes []*corev1.Node) map[netip.Addr][]string {
	out := map[netip.Addr][]string{}
	for _, n := range nodes {
		for _, a := range api.Announced(n) {
			out[a] = append(out[a], n.Name)
		}
	}
	return out
}

// Services are spread over nodes, and one more node takes over no more than its share.
func TestAnnouncementsAreSpread(t *testing.T) {
	three, four := []string{"a", "b", "c"}, []string{"a", "b", "c", "d"}
	count, moved := map[string]int{}, 0
	for i := range 1000 {
		a := announced(fmt.Sprintf("ns/s%d", i), false, "")
		n := a.pick(three, "", false)
		count[n]++
		if next := a.pick(four, "", false); next != n {
			if next != "d" {
				t.Errorf("%s moves from %s to %s", a.key, n, next)
			}
			moved++
		}
	}
	for n, k := range count {
		if k < 250 || k > 420 {
			t.Errorf("%s has %d of 1000", n, k)
		}
	}
	if moved < 150 || moved > 350 {
		t.Errorf("%d of 1000 move", moved)
	}
}
