package local

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func node(name string, isReady corev1.ConditionStatus, addresses ...corev1.NodeAddress) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Addresses: addresses,
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: isReady}}}}
}

func in(kind corev1.NodeAddressType, a string) corev1.NodeAddress {
	return corev1.NodeAddress{Type: kind, Address: a}
}

// service made at minute n, with ports and with addresses if has.
func service(uid string, n int, has bool, ports ...int32) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: uid, UID: types.UID(uid), CreationTimestamp: metav1.NewTime(time.Unix(int64(n)*60, 0))}}
	s.Spec.Type = corev1.ServiceTypeLoadBalancer
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: p, Protocol: corev1.ProtocolTCP})
	}
	if has {
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "10.0.0.1", Ports: portStatus(s)}}
	}
	return s
}

func also(s *corev1.Service, change func(*corev1.Service)) *corev1.Service { change(s); return s }

func TestPlace(t *testing.T) {
	one := node("a", "True", in("InternalIP", "10.0.0.1"), in("InternalIP", "fd00::1"), in("Hostname", "a"))
	two := node("b", "True", in("InternalIP", "10.0.0.2"))
	down := node("c", "Unknown", in("InternalIP", "10.0.0.3"))
	outside := node("d", "True", in("InternalIP", "10.0.0.4"), in("ExternalIP", "192.0.2.4"))
	udp := also(service("udp", 0, true, 80), func(s *corev1.Service) {
		s.Spec.Ports[0].Protocol = corev1.ProtocolUDP
		s.Status.LoadBalancer.Ingress[0].Ports = portStatus(s)
	})
	class := "x/y"
	for _, c := range []struct {
		name  string
		svc   *corev1.Service
		other *corev1.Service
		nodes []*corev1.Node
		want  string // addresses, or a part of the error
	}{
		{"all nodes that are ready", service("s", 1, false, 80), nil, []*corev1.Node{two, one, down}, "10.0.0.1 10.0.0.2 fd00::1"},
		{"one family", also(service("s", 1, false, 80), func(s *corev1.Service) { s.Spec.IPFamilies = []corev1.IPFamily{"IPv4"} }), nil, []*corev1.Node{one}, "10.0.0.1"},
		{"external addresses", service("s", 1, false, 80), nil, []*corev1.Node{one, outside}, "192.0.2.4"},
		{"no node", service("s", 1, false, 80), nil, nil, ""},
		{"one asked for", also(service("s", 1, false, 80), func(s *corev1.Service) { s.Spec.LoadBalancerIP = "10.0.0.2" }), nil, []*corev1.Node{one, two}, "10.0.0.2"},
		{"one that is not there", also(service("s", 1, false, 80), func(s *corev1.Service) { s.Spec.LoadBalancerIP = "10.9.9.9" }), nil, []*corev1.Node{one}, "10.9.9.9 is the address of no node"},
		{"reserved", service("s", 1, false, 80, 22), nil, []*corev1.Node{one}, "port 22/TCP of the nodes is kept"},
		{"older waits too", service("s", 1, false, 80), service("o", 0, false, 80), []*corev1.Node{one}, "is that of Service ns/o"},
		{"younger waits too", service("s", 1, false, 80), service("o", 2, false, 80), []*corev1.Node{two}, "10.0.0.2"},
		{"younger has it", service("s", 1, false, 80), service("o", 2, true, 80), []*corev1.Node{two}, "is that of Service ns/o"},
		{"older wants what this one has", service("s", 1, true, 80), service("o", 0, false, 80), []*corev1.Node{two}, "10.0.0.2"},
		{"a second port that another has", also(service("s", 0, true, 80), func(s *corev1.Service) {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: 443, Protocol: corev1.ProtocolTCP})
		}), service("o", 2, true, 443), []*corev1.Node{two}, "443/TCP of the nodes is that of Service ns/o"},
		{"the other gave it up", service("s", 1, false, 80), also(service("o", 0, true, 80), func(s *corev1.Service) { s.Spec.Type = "ClusterIP" }), []*corev1.Node{two}, "10.0.0.2"},
		{"the other has a class", service("s", 1, false, 80), also(service("o", 0, true, 80), func(s *corev1.Service) { s.Spec.LoadBalancerClass = &class }), []*corev1.Node{two}, "10.0.0.2"},
		{"other protocol", service("s", 1, false, 80), udp, []*corev1.Node{two}, "10.0.0.2"},
	} {
		services := []*corev1.Service{c.svc}
		if c.other != nil {
			services = append(services, c.other)
		}
		status, err := place(c.svc, services, c.nodes, map[Port]string{{corev1.ProtocolTCP, 22}: "kept for SSH"})
		if err != nil {
			if c.want == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			continue
		}
		var got []string
		for _, i := range status.Ingress {
			got = append(got, i.IP)
			if len(i.Ports) != len(c.svc.Spec.Ports) || i.Ports[0].Port != c.svc.Spec.Ports[0].Port {
				t.Errorf("%s: ports %v", c.name, i.Ports)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
	}
}
