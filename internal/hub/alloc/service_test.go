package alloc_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub/alloc"
	"sampan.dev/internal/hub/hubtest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func service(name string, fn func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"a": "b"}, Ports: []corev1.ServicePort{{Name: "p", Port: 80}},
	}}
	if fn != nil {
		fn(s)
	}
	return s
}

type world struct {
	*hubtest.Hub
	t *testing.T
}

func (w world) create(s *corev1.Service, want string) *corev1.Service {
	w.t.Helper()
	out, err := client.Create(w.t.Context(), w.Root, client.Services, s)
	w.check(err, want)
	return out
}

func (w world) update(s *corev1.Service, fn func(*corev1.Service), want string) *corev1.Service {
	w.t.Helper()
	s, err := client.Get[*corev1.Service](w.t.Context(), w.Root, client.Services, s.Namespace, s.Name)
	if err != nil {
		w.t.Fatal(err)
	}
	s = s.DeepCopy()
	fn(s)
	out, err := client.Update(w.t.Context(), w.Root, client.Services, s)
	w.check(err, want)
	return out
}

func (w world) check(err error, want string) {
	w.t.Helper()
	if err == nil && want != "" || err != nil && err.Error() != want {
		w.t.Errorf("%v\nwant %q", err, want)
	}
}

func TestClusterIPs(t *testing.T) {
	w := world{hubtest.New(t), t}
	w.Boot(t)
	a := w.create(service("a", nil), "")
	ip := netip.MustParseAddr(a.Spec.ClusterIP)
	if !netip.MustParsePrefix("10.96.0.0/16").Contains(ip) || ip.Less(netip.MustParseAddr("10.96.1.0")) || len(a.Spec.ClusterIPs) != 1 ||
		a.Spec.IPFamilies[0] != corev1.IPv4Protocol || *a.Spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
		t.Errorf("%v", a.Spec)
	}
	named := func(ip string) func(*corev1.Service) { return func(s *corev1.Service) { s.Spec.ClusterIP = ip } }
	w.create(service("b", named("10.96.0.77")), "")
	w.create(service("c", named("10.96.0.77")), `Service "c" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.77"]: failed to allocate IP 10.96.0.77: provided IP is already allocated`)
	w.create(service("c", named("10.96.0.1")), `Service "c" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: provided IP is already allocated`)
	w.create(service("c", named("192.0.2.1")), `Service "c" is invalid: spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: the provided network does not match the current range`)
	if h := w.create(service("headless", named("None")), ""); h.Spec.ClusterIP != "None" || h.Spec.ClusterIPs[0] != "None" {
		t.Errorf("%v", h.Spec)
	}
	ext := w.create(service("ext", func(s *corev1.Service) {
		s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"}
	}), "")
	if ext.Spec.ClusterIP != "" || ext.Spec.IPFamilies != nil {
		t.Errorf("%v", ext.Spec)
	}
	both := corev1.IPFamilyPolicyRequireDualStack
	w.create(service("dual", func(s *corev1.Service) { s.Spec.IPFamilyPolicy = &both }),
		`Service "dual" is invalid: spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services`)

	families := func(list ...corev1.IPFamily) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.IPFamilies = list }
	}
	w.create(service("bad", families("X")), `Service "bad" is invalid: spec.ipFamilies[0]: Unsupported value: "X": supported values: "IPv4", "IPv6"`)
	w.create(service("bad", families("IPv4", "IPv4")), `Service "bad" is invalid: spec.ipFamilies[1]: Duplicate value: "IPv4"`)
	w.create(service("bad", families("IPv4", "IPv6")), `Service "bad" is invalid: spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified`)
	w.create(service("bad", families("IPv6")), `Service "bad" is invalid: spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster`)
	w.create(service("bad", func(s *corev1.Service) { s.Spec.ClusterIPs = []string{"10.96.5.5"} }), `Service "bad" is invalid: spec.clusterIPs: Invalid value: ["10.96.5.5"]: must be empty when `+"`clusterIP`"+` is not specified`)

	// A refused write gives back what it took; a deletion frees.
	w.create(service("bad", func(s *corev1.Service) { s.Spec.ClusterIP = "10.96.0.88"; s.Spec.Ports[0].Port = 0 }), `Service "bad" is invalid: [spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive]`)
	w.create(service("good", named("10.96.0.88")), "")
	if err := client.Delete(t.Context(), w.Root, client.Services, "default", "b", ""); err != nil {
		t.Fatal(err)
	}
	w.create(service("b2", named("10.96.0.77")), "")

	// Dry runs take nothing.
	dry := service("dry", named("10.96.0.99"))
	if _, err := w.Root.Create(t.Context(), client.Ref{Resource: client.Services, Namespace: "default"}, dry, metav1.CreateOptions{DryRun: []string{"All"}}); err != nil {
		t.Fatal(err)
	}
	w.create(service("wet", named("10.96.0.99")), "")
	for want, change := range map[string]func(*corev1.Service){
		"": named("10.96.0.99"), // nor do they look whether it is taken
		`Service "dry" is invalid: spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16`: named("192.0.2.1"),
	} {
		_, err := w.Root.Create(t.Context(), client.Ref{Resource: client.Services, Namespace: "default"}, service("dry", change), metav1.CreateOptions{DryRun: []string{"All"}})
		w.check(err, want)
	}
	obj, err := w.Root.Create(t.Context(), client.Ref{Resource: client.Services, Namespace: "default"}, service("dry", func(s *corev1.Service) {
		s.Spec.Type, s.Spec.Ports = corev1.ServiceTypeNodePort, []corev1.ServicePort{{Name: "a", Port: 80}, {Name: "b", Port: 81}}
	}), metav1.CreateOptions{DryRun: []string{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	if s := obj.(*corev1.Service).Spec; s.ClusterIP != "10.96.0.0" || s.Ports[0].NodePort != 32769 || s.Ports[1].NodePort != 32770 {
		t.Errorf("a dry run shows %s and %v", s.ClusterIP, s.Ports)
	}

	// To ExternalName and back.
	w.update(service("wet", nil), func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.org"
	}, "")
	w.create(service("next", named("10.96.0.99")), "")
	back := w.update(service("wet", nil), func(s *corev1.Service) { s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeClusterIP, "" }, "")
	if back.Spec.ClusterIP == "" || back.Spec.ClusterIP == "10.96.0.99" {
		t.Errorf("%v", back.Spec)
	}
	w.update(service("next", nil), func(s *corev1.Service) { s.Labels = map[string]string{"x": "y"} }, "")
}

func TestNodePorts(t *testing.T) {
	w := world{hubtest.New(t), t}
	w.Boot(t)
	np := func(port int32) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort; s.Spec.Ports[0].NodePort = port }
	}
	a := w.create(service("a", np(0)), "")
	if p := a.Spec.Ports[0].NodePort; p < 30086 || p > 32767 {
		t.Errorf("dynamic port %d", p)
	}
	w.create(service("b", np(30007)), "")
	w.create(service("c", np(30007)), `Service "c" is invalid: spec.ports[0].nodePort: Invalid value: 30007: provided port is already allocated`)
	w.create(service("c", np(80)), `Service "c" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767`)

	dns := w.create(service("dns", func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeNodePort
		s.Spec.Ports = []corev1.ServicePort{{Name: "u", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "t", Port: 53, Protocol: corev1.ProtocolTCP}, {Name: "m", Port: 9153}}
	}), "")
	if p := dns.Spec.Ports; p[0].NodePort != p[1].NodePort || p[0].NodePort == p[2].NodePort || p[2].NodePort == 0 {
		t.Errorf("%v", p)
	}

	// Another port of the same service keeps the first's node port; leaving NodePort frees it.
	b := w.update(service("b", nil), func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "q", Port: 81}) }, "")
	if b.Spec.Ports[0].NodePort != 30007 || b.Spec.Ports[1].NodePort == 0 {
		t.Errorf("%v", b.Spec.Ports)
	}
	b = w.update(service("b", nil), func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeClusterIP }, "")
	if b.Spec.Ports[0].NodePort != 0 {
		t.Errorf("%v", b.Spec.Ports)
	}
	w.create(service("c", np(30007)), "")
	external := func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalName, s.Spec.ClusterIP, s.Spec.ClusterIPs = corev1.ServiceTypeExternalName, "example.org", "", nil
	}
	c := w.update(service("c", nil), external, "")
	if c.Spec.ClusterIP != "" || c.Spec.IPFamilies != nil || c.Spec.Ports[0].NodePort != 0 {
		t.Errorf("%v", c.Spec)
	}
	c = w.update(service("c", nil), func(s *corev1.Service) { s.Spec.ExternalName = ""; np(30007)(s) }, "")
	if c.Spec.ClusterIP == "" || c.Spec.Ports[0].NodePort != 30007 {
		t.Errorf("%v", c.Spec)
	}

	lb := w.create(service("lb", func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalTrafficPolicy = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal
		s.Spec.HealthCheckNodePort = 30010
	}), "")
	if lb.Spec.HealthCheckNodePort != 30010 || lb.Spec.Ports[0].NodePort == 0 {
		t.Errorf("%v", lb.Spec)
	}
	w.create(service("lb2", np(30010)), `Service "lb2" is invalid: spec.ports[0].nodePort: Invalid value: 30010: provided port is already allocated`)
	w.update(service("lb", nil), func(s *corev1.Service) {
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
		s.Spec.HealthCheckNodePort = 0
	}, "")
	w.create(service("lb2", np(30010)), "")
}

func TestSmallRangeFillsUp(t *testing.T) {
	s := alloc.New(alloc.Config{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/28")}})
	seen := map[string]bool{}
	for i := range 14 {
		svc := service("s", nil)
		svc.UID = types.UID(fmt.Sprint(i))
		svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
		if _, err := s.Assign(t.Context(), svc, nil, false); err != nil {
			t.Fatal(i, err)
		}
		if seen[svc.Spec.ClusterIP] {
			t.Fatalf("%s twice", svc.Spec.ClusterIP)
		}
		seen[svc.Spec.ClusterIP] = true
	}
	if seen["10.0.0.0"] || seen["10.0.0.15"] {
		t.Error("the network's or the broadcast address was given out")
	}
	svc := service("s", nil)
	svc.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	_, err := s.Assign(t.Context(), svc, nil, false)
	if want := `Internal error occurred: failed to allocate a serviceIP for Service "s": range is full`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// A hub that starts finds out what has been given before anything new is.
func TestRestart(t *testing.T) {
	w := world{hubtest.New(t), t}
	w.Boot(t)
	w.create(service("a", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort; s.Spec.Ports[0].NodePort = 30007 }), "")
	// A hub that starts has loaded its cache; here it may be a moment behind.
	hubtest.Eventually(t, func() bool {
		_, err := w.Root.Get(t.Context(), client.Ref{Resource: client.Services, Namespace: "default", Name: "a"}, metav1.GetOptions{ResourceVersion: "0"})
		return err == nil
	})
	set := cache.NewSet(w.Root, slog.New(slog.DiscardHandler))
	next := alloc.New(alloc.Config{CIDRs: []netip.Prefix{w.Bootstrap.ServiceCIDR}, Informers: set})
	go func() { _ = set.Run(t.Context()) }()
	for name, fn := range map[string]func(*corev1.Service){
		"address": func(s *corev1.Service) { s.Spec.ClusterIP, s.Spec.ClusterIPs = "10.96.0.1", []string{"10.96.0.1"} },
		"port":    func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort; s.Spec.Ports[0].NodePort = 30007 },
	} {
		s := service("b", fn)
		s.UID, s.Spec.IPFamilies = "b", []corev1.IPFamily{corev1.IPv4Protocol}
		if _, err := next.Assign(t.Context(), s, nil, false); err == nil {
			t.Errorf("%s was given twice", name)
		}
	}
}
