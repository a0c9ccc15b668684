package control_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (b *bench) slicesOf(service string) []*discoveryv1.EndpointSlice {
	b.Helper()
	out, err := client.ListAll[*discoveryv1.EndpointSlice](b.Context(), b.door, client.EndpointSlices, "default",
		metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + service})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func (b *bench) service(name string, f func(s *corev1.Service)) *corev1.Service {
	b.Helper()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}
	if f != nil {
		f(s)
	}
	s, err := client.Create(b.Context(), b.door, client.Services, s)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func TestManyEndpoints(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		for i := range 3 {
			b.addNode(fmt.Sprint("n", i), map[string]string{corev1.LabelTopologyZone: "z"})
		}
		near := corev1.ServiceTrafficDistributionPreferClose
		b.service("web", func(s *corev1.Service) { s.Spec.TrafficDistribution = &near })
		b.settle(time.Second)
		if s := b.slicesOf("web"); len(s) != 1 || len(s[0].Endpoints) != 0 {
			b.Errorf("a service without pods has %d slices", len(s))
		}
		if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 250)); err != nil {
			b.Fatal(err)
		}
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		b.settle(time.Second)
		seen := map[string]bool{}
		all := b.slicesOf("web")
		for _, s := range all {
			if len(s.Endpoints) > 100 || s.Annotations[corev1.EndpointsLastChangeTriggerTime] == "" {
				b.Errorf("slice with %d endpoints, annotations %v", len(s.Endpoints), s.Annotations)
			}
			for _, e := range s.Endpoints {
				if seen[e.Addresses[0]] {
					b.Errorf("%v twice", e.Addresses)
				}
				seen[e.Addresses[0]] = true
				if e.Hints == nil || e.Hints.ForZones[0].Name != "z" || *e.Zone != "z" {
					b.Errorf("hints %v", e.Hints)
				}
			}
		}
		if len(all) < 3 || len(all) > 5 || len(seen) != 250 {
			b.Errorf("%d slices, %d endpoints", len(all), len(seen))
		}
		if err := client.Delete(b.Context(), b.door, client.Services, "default", "web", ""); err != nil {
			b.Fatal(err)
		}
		b.settle(5 * time.Second)
		if s := b.slicesOf("web"); len(s) != 0 {
			b.Errorf("%d slices outlive the service", len(s))
		}
		if _, err := client.Get[*corev1.Endpoints](b.Context(), b.door, client.EndpointsResource, "default", "web"); !apierrors.IsNotFound(err) {
			b.Errorf("endpoints outlive the service: %v", err)
		}
	})
}

func TestUnreadyAndHeadless(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		b.mu.unready = true
		b.service("web", nil)
		b.service("all", func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true })
		b.service("headless", func(s *corev1.Service) {
			s.Spec.ClusterIP = corev1.ClusterIPNone
			s.Spec.PublishNotReadyAddresses = true
			s.Spec.Ports = nil
		})
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", Labels: map[string]string{"app": "web"}}, Spec: deployment("", "x", 1).Spec.Template.Spec}
		pod.Spec.Hostname, pod.Spec.Subdomain = "host", "headless"
		if _, err := client.Create(b.Context(), b.door, client.Pods, pod); err != nil {
			b.Fatal(err)
		}
		b.settle(5 * time.Second)
		one := func(name string) (discoveryv1.Endpoint, *corev1.Endpoints, *discoveryv1.EndpointSlice) {
			s := b.slicesOf(name)
			e, err := client.Get[*corev1.Endpoints](b.Context(), b.door, client.EndpointsResource, "default", name)
			if err != nil || len(s) != 1 || len(s[0].Endpoints) != 1 || len(e.Subsets) != 1 {
				b.Fatalf("%s: %v %v %v", name, s, e, err)
			}
			return s[0].Endpoints[0], e, s[0]
		}
		ep, e, _ := one("web")
		if *ep.Conditions.Ready || *ep.Conditions.Serving || len(e.Subsets[0].NotReadyAddresses) != 1 {
			b.Errorf("web: %+v %+v", ep, e.Subsets)
		}
		ep, e, _ = one("all")
		if !*ep.Conditions.Ready || *ep.Conditions.Serving || len(e.Subsets[0].Addresses) != 1 {
			b.Errorf("all: %+v %+v", ep, e.Subsets)
		}
		ep, e, s := one("headless")
		if ep.Hostname == nil || *ep.Hostname != "host" || e.Subsets[0].Addresses[0].Hostname != "host" || len(e.Subsets[0].Ports) != 0 {
			b.Errorf("headless: %+v %+v", ep, e.Subsets)
		}
		if _, ok := s.Labels[corev1.IsHeadlessService]; !ok {
			b.Errorf("labels %v", s.Labels)
		}
		if _, ok := e.Labels[corev1.IsHeadlessService]; !ok {
			b.Errorf("labels %v", e.Labels)
		}
	})
}

func TestMirroring(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		ctx := b.Context()
		b.service("byhand", func(s *corev1.Service) { s.Spec.Selector = nil })
		e := &corev1.Endpoints{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "byhand", Labels: map[string]string{"a": "b"}},
			Subsets: []corev1.EndpointSubset{{
				Addresses:         []corev1.EndpointAddress{{IP: "10.1.2.3"}},
				NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.1.2.4"}},
				Ports:             []corev1.EndpointPort{{Name: "x", Port: 80, Protocol: corev1.ProtocolTCP}},
			}},
		}
		e, err := client.Create(ctx, b.door, client.EndpointsResource, e)
		if err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		s := b.slicesOf("byhand")
		if len(s) != 1 || len(s[0].Endpoints) != 2 || s[0].Labels["a"] != "b" || s[0].Labels[discoveryv1.LabelManagedBy] != "endpointslicemirroring-controller.k8s.io" || *s[0].Ports[0].Port != 80 {
			b.Fatalf("%+v", s)
		}
		e = e.DeepCopy()
		e.Subsets[0].Addresses[0].IP = "10.1.2.9"
		e.Subsets[0].NotReadyAddresses = nil
		if _, err = client.Update(ctx, b.door, client.EndpointsResource, e); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		if s := b.slicesOf("byhand"); len(s) != 1 || len(s[0].Endpoints) != 1 || s[0].Endpoints[0].Addresses[0] != "10.1.2.9" {
			b.Errorf("%+v", s)
		}
		if err := client.Delete(ctx, b.door, client.EndpointsResource, "default", "byhand", ""); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		if s := b.slicesOf("byhand"); len(s) != 0 {
			b.Errorf("%+v", s)
		}
	})
}

// The conformance suite's garbage collector cases that are hard: two owners of which one waits, and a circle.
func TestOwnersThatWait(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		ctx := b.Context()
		yes := true
		mk := func(name string, owners ...metav1.OwnerReference) *corev1.ConfigMap {
			c, err := client.Create(ctx, b.door, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, OwnerReferences: owners}})
			if err != nil {
				b.Fatal(err)
			}
			return c
		}
		ref := func(c *corev1.ConfigMap) metav1.OwnerReference {
			return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: c.Name, UID: c.UID, BlockOwnerDeletion: &yes}
		}
		del := func(name string) {
			fg := metav1.DeletePropagationForeground
			if err := b.door.Delete(ctx, client.Ref{Resource: client.ConfigMaps, Namespace: "default", Name: name}, metav1.DeleteOptions{PropagationPolicy: &fg}); err != nil {
				b.Fatal(err)
			}
		}
		names := func() (out []string) {
			l, err := client.ListAll[*corev1.ConfigMap](ctx, b.door, client.ConfigMaps, "default", metav1.ListOptions{})
			if err != nil {
				b.Fatal(err)
			}
			for _, c := range l {
				out = append(out, c.Name)
			}
			slices.Sort(out)
			return out
		}
		dying, staying := mk("dying"), mk("staying")
		for i := range 4 {
			if i%2 == 0 {
				mk(fmt.Sprint("both", i), ref(dying), ref(staying))
			} else {
				mk(fmt.Sprint("one", i), ref(dying))
			}
		}
		b.settle(time.Second)
		del("dying")
		b.settle(30 * time.Second)
		if got := names(); !slices.Equal(got, []string{"both0", "both2", "staying"}) {
			b.Errorf("left: %v", got)
		}
		c, err := client.Get[*corev1.ConfigMap](ctx, b.door, client.ConfigMaps, "default", "both0")
		if err != nil || len(c.OwnerReferences) != 1 || c.OwnerReferences[0].UID != staying.UID {
			b.Errorf("both0: %+v %v", c, err)
		}

		one := mk("ring1")
		two := mk("ring2", ref(one))
		three := mk("ring3", ref(two))
		owners := []metav1.OwnerReference{ref(three)}
		if _, err := client.MergePatch(ctx, b.door, client.Ref{Resource: client.ConfigMaps, Namespace: "default", Name: "ring1"},
			map[string]any{"metadata": map[string]any{"ownerReferences": owners}}); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		del("ring1")
		b.settle(time.Minute)
		if got := names(); !slices.Equal(got, []string{"both0", "both2", "staying"}) {
			b.Errorf("left of the ring: %v", got)
		}
	})
}

// TestTopologyHints: a service that asks has its endpoints spread over zones by their CPU, is told when that begins and ends, and
// follows the nodes. The Service has another name than the Deployment: of two events about objects of one name at one instant, which a
// machine hardly has and virtual time does, one is lost, as upstream.
func TestTopologyHints(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		for _, n := range []struct{ name, zone, cpu string }{{"n0", "a", "3"}, {"n1", "b", "1"}} {
			b.addNode(n.name, map[string]string{corev1.LabelTopologyZone: n.zone})
			b.giveCPU(n.name, n.cpu)
		}
		b.service("site", func(s *corev1.Service) { s.Annotations = map[string]string{corev1.AnnotationTopologyMode: "Auto"} })
		if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 8)); err != nil {
			b.Fatal(err)
		}
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		b.settle(10 * time.Second)
		b.hasEvent("default", "Normal TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4")
		if got := b.hinted("site"); got != "map[a:6 b:2]" {
			b.Errorf("by CPU: %s", got)
		}
		b.giveCPU("n1", "3")
		b.settle(10 * time.Second)
		if got := b.hinted("site"); got != "map[a:4 b:4]" {
			b.Errorf("when there is more: %s", got)
		}
		writes := b.slicesOf("site")[0].ResourceVersion
		b.settle(30 * time.Minute)
		if now := b.slicesOf("site")[0].ResourceVersion; now != writes {
			b.Error("slices are written while nothing happens")
		}
		b.giveCPU("n1", "0")
		b.settle(10 * time.Second)
		b.hasEvent("default", "Warning TopologyAwareHintsDisabled: Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv4")
		if got := b.hinted("site"); got != "map[]" {
			b.Errorf("without CPU: %s", got)
		}
		b.giveCPU("n1", "3")
		b.settle(10 * time.Second)
		if got := b.hinted("site"); got != "map[a:4 b:4]" {
			b.Errorf("again: %s", got)
		}
		ref := client.Ref{Resource: client.Services, Namespace: "default", Name: "site"}
		if _, err := b.door.Patch(b.Context(), ref, types.MergePatchType, []byte(`{"metadata":{"annotations":null}}`), metav1.PatchOptions{}); err != nil {
			b.Fatal(err)
		}
		b.settle(10 * time.Second)
		b.hasEvent("default", "Warning TopologyAwareHintsDisabled: Topology Aware Hints has been disabled, addressType: IPv4")
		if got := b.hinted("site"); got != "map[]" {
			b.Errorf("when nobody asks: %s", got)
		}
	})
}

// giveCPU sets what a node has to give.
func (b *bench) giveCPU(node, cpu string) {
	b.Helper()
	ref := client.Ref{Resource: client.Nodes, Name: node, Subresource: "status"}
	patch := fmt.Sprintf(`{"status":{"allocatable":{"cpu":%q},"capacity":{"cpu":%q}}}`, cpu, cpu)
	if _, err := b.door.Patch(b.Context(), ref, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		b.Fatal(err)
	}
}

// hinted says how many endpoints of a service are for each zone.
func (b *bench) hinted(service string) string {
	b.Helper()
	out := map[string]int{}
	for _, s := range b.slicesOf(service) {
		for _, e := range s.Endpoints {
			if e.Hints != nil {
				out[e.Hints.ForZones[0].Name]++
			}
		}
	}
	return fmt.Sprint(out)
}
