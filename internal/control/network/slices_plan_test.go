package network

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func service() *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "svc", UID: "s"}, Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1"}}
}

func endpoints4(from, n int, ready bool) []discoveryv1.Endpoint {
	var out []discoveryv1.Endpoint
	for i := from; i < from+n; i++ {
		out = append(out, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.%d.%d", i/250, i%250)}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	return out
}

func port(n int32) []discoveryv1.EndpointPort {
	name, proto := "p", corev1.ProtocolTCP
	return []discoveryv1.EndpointPort{{Name: &name, Port: &n, Protocol: &proto}}
}

// store carries plans out.
type sliceStore struct {
	next   int
	slices map[string]*discoveryv1.EndpointSlice
}

func (s *sliceStore) list() (out []*discoveryv1.EndpointSlice) {
	for _, v := range s.slices {
		out = append(out, v)
	}
	sortSlices(out)
	return out
}

func (s *sliceStore) apply(p slicePlan) {
	for _, v := range p.create {
		s.next++
		v.Name = fmt.Sprintf("svc-%04d", s.next)
		s.slices[v.Name] = v
	}
	for _, v := range p.update {
		s.slices[v.Name] = v
	}
	for _, v := range p.remove {
		delete(s.slices, v.Name)
	}
}

func TestPlanSlicesStepByStep(t *testing.T) {
	s := &sliceStore{slices: map[string]*discoveryv1.EndpointSlice{}}
	how := serviceSlicing(service(), corev1.IPv4Protocol)
	step := func(what string, want []*group, create, update, remove int) {
		t.Helper()
		p := planSlices(s.list(), want, how)
		if len(p.create) != create || len(p.update) != update || len(p.remove) != remove {
			t.Errorf("%s: %d created, %d updated, %d removed", what, len(p.create), len(p.update), len(p.remove))
		}
		s.apply(p)
		if again := planSlices(s.list(), want, how); !again.empty() {
			t.Errorf("%s: not at rest", what)
		}
	}
	step("nothing", nil, 1, 0, 0)
	step("the placeholder is used", []*group{{port(80), endpoints4(0, 3, true)}}, 0, 1, 0)
	step("one more", []*group{{port(80), endpoints4(0, 4, true)}}, 0, 1, 0)
	step("many more", []*group{{port(80), endpoints4(0, 250, true)}}, 2, 1, 0)
	step("one goes, another comes", []*group{{port(80), append(endpoints4(1, 249, true), endpoints4(999, 1, true)...)}}, 0, 1, 0)
	step("one that has room takes all", []*group{{port(80), append(endpoints4(1, 249, true), endpoints4(998, 2, true)...)}}, 0, 1, 0)
	step("a second port", []*group{{port(80), endpoints4(1, 249, true)}, {port(81), endpoints4(500, 2, true)}}, 1, 1, 0)
	step("not ready any more", []*group{{port(80), endpoints4(1, 2, false)}, {port(81), endpoints4(500, 2, true)}}, 0, 1, len(s.slices)-2)
	step("none", nil, 0, 1, len(s.slices)-1)
}

// Whatever comes and goes, the slices hold exactly the endpoints that are wanted, none is too long, and a plan that was
// carried out leaves nothing to do.
func TestPlanSlicesAtRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	s := &sliceStore{slices: map[string]*discoveryv1.EndpointSlice{}}
	how := serviceSlicing(service(), corev1.IPv4Protocol)
	how.most = 10
	have := map[int]bool{}
	for round := range 300 {
		for range rnd.IntN(20) {
			have[rnd.IntN(120)] = rnd.IntN(3) > 0
		}
		if round%50 == 49 {
			clear(have)
		}
		groups := map[int]*group{}
		var want []*group
		n := 0
		for i := range 120 {
			if !have[i] {
				continue
			}
			g := groups[i%3]
			if g == nil {
				g = &group{ports: port(int32(80 + i%3))}
				groups[i%3] = g
				want = append(want, g)
			}
			g.endpoints = append(g.endpoints, endpoints4(i, 1, rnd.IntN(2) == 0)...)
			n++
		}
		s.apply(planSlices(s.list(), want, how))
		if again := planSlices(s.list(), want, how); !again.empty() {
			t.Fatalf("round %d: not at rest: %+v", round, again)
		}
		seen := map[string]string{}
		for _, sl := range s.list() {
			if len(sl.Endpoints) > 10 {
				t.Fatalf("round %d: a slice of %d", round, len(sl.Endpoints))
			}
			for i := range sl.Endpoints {
				seen[identity(&sl.Endpoints[i])] = portsKey(sl.Ports)
			}
		}
		if len(seen) != n || len(s.slices) == 0 {
			t.Fatalf("round %d: %d endpoints of %d in %d slices", round, len(seen), n, len(s.slices))
		}
		for _, g := range want {
			for i := range g.endpoints {
				if seen[identity(&g.endpoints[i])] != portsKey(g.ports) {
					t.Fatalf("round %d: endpoint under wrong ports", round)
				}
			}
		}
	}
}

func TestRepack(t *testing.T) {
	addr := func(ip string) corev1.EndpointAddress { return corev1.EndpointAddress{IP: ip} }
	p := func(n int32) corev1.EndpointPort { return corev1.EndpointPort{Name: fmt.Sprint(n), Port: n} }
	got := repack([]corev1.EndpointSubset{
		{Addresses: []corev1.EndpointAddress{addr("2")}, Ports: []corev1.EndpointPort{p(80)}},
		{Addresses: []corev1.EndpointAddress{addr("1")}, Ports: []corev1.EndpointPort{p(80)}},
		{Addresses: []corev1.EndpointAddress{addr("1"), addr("2")}, Ports: []corev1.EndpointPort{p(81)}},
		{NotReadyAddresses: []corev1.EndpointAddress{addr("2")}, Ports: []corev1.EndpointPort{p(82)}},
		{Addresses: []corev1.EndpointAddress{addr("2")}, Ports: []corev1.EndpointPort{p(82)}},
	})
	if len(got) != 2 || len(got[0].Ports) != 2 || len(got[0].Addresses) != 2 || got[0].Addresses[0].IP != "1" ||
		len(got[1].Addresses) != 0 || len(got[1].NotReadyAddresses) != 1 {
		t.Errorf("%+v", got)
	}
}

// Ports and subsets stand in the order of a kube-controller-manager v1.37.1, which was asked.
func TestRepackOrder(t *testing.T) {
	port := func(name string, n int32) corev1.EndpointPort {
		return corev1.EndpointPort{Name: name, Port: n, Protocol: corev1.ProtocolTCP}
	}
	got := repack([]corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: "10.9.0.6"}}, Ports: []corev1.EndpointPort{port("d", 9090), port("a", 8080)}}})
	if len(got) != 1 || got[0].Ports[0].Name != "a" || got[0].Ports[1].Name != "d" {
		t.Errorf("%+v", got)
	}
}

func TestTruncate(t *testing.T) {
	mk := func(ready, notReady int) corev1.EndpointSubset {
		var s corev1.EndpointSubset
		for range ready {
			s.Addresses = append(s.Addresses, corev1.EndpointAddress{})
		}
		for range notReady {
			s.NotReadyAddresses = append(s.NotReadyAddresses, corev1.EndpointAddress{})
		}
		return s
	}
	for _, tc := range []struct {
		in       [][2]int
		cut      bool
		ready, n int
	}{
		{[][2]int{{500, 500}}, false, 500, 1000},
		{[][2]int{{900, 300}, {0, 300}}, true, 900, 1000},
		{[][2]int{{900, 300}, {900, 300}}, true, 1000, 1000},
	} {
		var in []corev1.EndpointSubset
		for _, p := range tc.in {
			in = append(in, mk(p[0], p[1]))
		}
		cut := truncate(in)
		ready, n := 0, 0
		for _, s := range in {
			ready += len(s.Addresses)
			n += len(s.Addresses) + len(s.NotReadyAddresses)
		}
		if cut != tc.cut || ready != tc.ready || n != tc.n {
			t.Errorf("%v: %v %d %d", tc.in, cut, ready, n)
		}
	}
}
