package control_test

import (
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/cloud"
	"sampan.dev/internal/cloud/local"
	"sampan.dev/internal/control"
	controlcloud "sampan.dev/internal/control/cloud"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func ranged(t *testing.T, text string) control.Config {
	t.Helper()
	r, err := cloud.ParseRange(text)
	if err != nil {
		t.Fatal(err)
	}
	return control.Config{Controllers: []string{"service-lb-controller", "load-balancer-announcer"},
		Cloud: controlcloud.Config{Provider: local.New(local.Config{Ranges: cloud.Ranges{r}})}}
}

// addAnnouncer adds a node of the kind that announces.
func (b *bench) addAnnouncer(name string) {
	b.Helper()
	b.addNode(name, nil)
	b.patch(client.Ref{Resource: client.Nodes, Name: name, Subresource: "status"},
		map[string]any{"status": map[string]any{"nodeInfo": map[string]any{"kubeletVersion": "v1.37.1+sampan1"}}})
}

// announcedBy is which nodes announce an address, in the nodes' order.
func (b *bench) announcedBy(address string, nodes ...string) string {
	b.Helper()
	var out []string
	for _, n := range nodes {
		for a := range strings.SplitSeq(b.node(n).Annotations[api.AnnotationAnnounced], ",") {
			if a == address {
				out = append(out, n)
			}
		}
	}
	return strings.Join(out, " ")
}

func (b *bench) address(service string) string {
	b.Helper()
	in := b.getService(service).Status.LoadBalancer.Ingress
	if len(in) == 0 {
		return ""
	}
	return in[0].IP
}

// endpointOn gives a service one ready endpoint, on a node.
func (b *bench) endpointOn(service, node string) {
	b.Helper()
	yes := true
	_, err := client.Create(b.Context(), b.door, client.EndpointSlices, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: service + "-" + node, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.9"}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes}}},
	})
	if err != nil {
		b.Fatal(err)
	}
}

// A balancer gets an address of the range, which one node announces: one with its pods. When that node is silent another takes over. The
// address is free again when its service is gone, and nobody announces it.
func TestAddressesOfARange(t *testing.T) {
	inBubble(t, ranged(t, "192.0.2.10-192.0.2.11"), func(b *bench) {
		b.addAnnouncer("n0")
		b.addAnnouncer("n1")
		b.addNode("stock", nil)
		both := []string{"n0", "n1", "stock"}
		b.service("web", balanced)
		b.settle(time.Second)
		if got := b.address("web"); got != "192.0.2.10" {
			t.Fatalf("address %q", got)
		}
		first := b.announcedBy("192.0.2.10", both...)
		if first != "n0" && first != "n1" {
			t.Fatalf("announced by %q", first)
		}
		b.endpointOn("web", "n1") // before that there was nothing to lose
		b.settle(time.Second)
		if got := b.announcedBy("192.0.2.10", both...); got != "n1" {
			t.Errorf("with its pod on n1 it is announced by %q", got)
		}
		b.postStatus(b.node("n1"), corev1.ConditionUnknown)
		b.settle(time.Second)
		if got := b.announcedBy("192.0.2.10", both...); got != "n0" {
			t.Errorf("while n1 is silent it is announced by %q", got)
		}
		b.postStatus(b.node("n1"), corev1.ConditionTrue)
		b.settle(time.Second)
		if got := b.announcedBy("192.0.2.10", both...); got != "n0" {
			t.Errorf("when n1 is back it is announced by %q", got)
		}

		wish := func(s *corev1.Service) {
			balanced(s)
			s.Annotations = map[string]string{"metallb.io/loadBalancerIPs": "192.0.2.11"}
		}
		b.service("wish", wish)
		b.settle(time.Second)
		b.service("late", balanced)
		b.settle(6 * time.Second)
		if got := b.reasons("late"); b.address("wish") != "192.0.2.11" || b.address("late") != "" || !strings.Contains(got, "AllocationFailed×") || !strings.Contains(got, "SyncLoadBalancerFailed×") {
			t.Errorf("wish has %q, late has %q and events %q", b.address("wish"), b.address("late"), got)
		}
		b.patch(serviceRef("wish"), map[string]any{"spec": map[string]any{"type": "ClusterIP"}})
		b.settle(time.Second)
		if b.address("late") != "192.0.2.11" {
			t.Errorf("late has %q, although 192.0.2.11 is free", b.address("late"))
		}
		if err := client.Delete(b.Context(), b.door, client.Services, "default", "web", ""); err != nil {
			t.Fatal(err)
		}
		b.settle(time.Second)
		if got := b.announcedBy("192.0.2.10", both...); got != "" {
			t.Errorf("without a service it is announced by %q", got)
		}
		b.settle(5 * time.Second)
		if got := b.reasons("web"); !strings.Contains(got, "IPAllocated×1") || !strings.Contains(got, "nodeAssigned×") {
			t.Errorf("events %q", got)
		}
		if n := b.writesIn(10 * time.Minute); n != 0 {
			t.Errorf("%d writes of nodes and services while nothing changes", n)
		}
	})
}

// writesIn counts the writes of nodes' annotations and of services during a time.
func (b *bench) writesIn(d time.Duration) (n int) {
	b.Helper()
	state := func() map[string]string {
		out := map[string]string{}
		for _, name := range []string{"n0", "n1"} {
			out[name] = b.node(name).ResourceVersion
		}
		out["late"] = b.getService("late").ResourceVersion
		return out
	}
	before := state()
	b.settle(d)
	for name, v := range state() {
		if v != before[name] {
			n++
		}
	}
	return n
}

// What an earlier provider had announced is taken back where nothing is announced any more.
func TestAnnouncedIsTakenBack(t *testing.T) {
	cfg := ranged(t, "192.0.2.10")
	cfg.Cloud.Provider = local.New(local.Config{})
	inBubble(t, cfg, func(b *bench) {
		b.addAnnouncer("n0")
		b.patch(client.Ref{Resource: client.Nodes, Name: "n0"}, map[string]any{"metadata": map[string]any{"annotations": map[string]string{api.AnnotationAnnounced: "192.0.2.10"}}})
		b.settle(time.Second)
		if got, there := b.node("n0").Annotations[api.AnnotationAnnounced]; there {
			t.Errorf("it still announces %q", got)
		}
	})
}
