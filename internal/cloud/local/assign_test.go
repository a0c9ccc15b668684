package local

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
)

func ranges(t *testing.T, list ...string) (out cloud.Ranges) {
	t.Helper()
	for _, s := range list {
		r, err := cloud.ParseRange(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestAssign(t *testing.T) {
	both := []corev1.IPFamily{"IPv4", "IPv6"}
	families := func(policy corev1.IPFamilyPolicy, f ...corev1.IPFamily) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.IPFamilyPolicy, s.Spec.IPFamilies = &policy, f }
	}
	has := func(addrs ...string) func(*corev1.Service) {
		return func(s *corev1.Service) {
			for _, a := range addrs {
				s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
			}
		}
	}
	wish := func(name, value string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Annotations = map[string]string{name: value} }
	}
	field := func(value string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.LoadBalancerIP = value }
	}
	v4, dual := []string{"192.0.2.10-192.0.2.12"}, []string{"192.0.2.10-192.0.2.12", "fd00::10-fd00::11"}
	for _, c := range []struct {
		name   string
		ranges []string
		taken  string // addresses of others
		change []func(*corev1.Service)
		want   string // addresses, or a part of the error
	}{
		{"the first", v4, "", nil, "192.0.2.10"},
		{"the next", v4, "192.0.2.10", nil, "192.0.2.11"},
		{"the next range", []string{"192.0.2.10", "192.0.2.99"}, "192.0.2.10", nil, "192.0.2.99"},
		{"exhausted", v4, "192.0.2.10 192.0.2.11 192.0.2.12", nil, "no available IPs"},
		{"what it has", v4, "", []func(*corev1.Service){has("192.0.2.12")}, "192.0.2.12"},
		{"what it has and may not", v4, "192.0.2.12", []func(*corev1.Service){has("192.0.2.12")}, "192.0.2.10"},
		{"what it has is in no range any more", v4, "", []func(*corev1.Service){has("198.51.100.1")}, "192.0.2.10"},
		{"what it has is taken and nothing is free", []string{"192.0.2.12"}, "192.0.2.12", []func(*corev1.Service){has("192.0.2.12")}, "no available IPs"},
		{"the field", v4, "", []func(*corev1.Service){field("192.0.2.12")}, "192.0.2.12"},
		{"the field before what it has", v4, "", []func(*corev1.Service){field("192.0.2.12"), has("192.0.2.11")}, "192.0.2.12"},
		{"the field out of range", v4, "", []func(*corev1.Service){field("192.0.2.13")}, `"192.0.2.13" is not allowed in config`},
		{"the field taken", v4, "192.0.2.12", []func(*corev1.Service){field("192.0.2.12")}, "address 192.0.2.12 is in use by Service ns/o"},
		{"our annotation", v4, "", []func(*corev1.Service){wish("sampan.dev/load-balancer-ips", "192.0.2.11")}, "192.0.2.11"},
		{"MetalLB's annotation", v4, "", []func(*corev1.Service){wish("metallb.io/loadBalancerIPs", "192.0.2.11")}, "192.0.2.11"},
		{"kube-vip's annotation", v4, "", []func(*corev1.Service){wish("kube-vip.io/loadbalancerIPs", "192.0.2.11")}, "192.0.2.11"},
		{"two wishes", v4, "", []func(*corev1.Service){field("192.0.2.12"), wish("metallb.io/loadBalancerIPs", "192.0.2.11")}, "service can not have both metallb.io/loadBalancerIPs and spec.loadBalancerIP"},
		{"no address", v4, "", []func(*corev1.Service){wish("metallb.io/loadBalancerIPs", "web")}, "invalid metallb.io/loadBalancerIPs"},
		{"other family", dual, "", []func(*corev1.Service){field("fd00::10")}, "does not match the ipFamily of the service"},
		{"two of a family", dual, "", []func(*corev1.Service){wish("sampan.dev/load-balancer-ips", "192.0.2.10,192.0.2.11")}, "does not match the ipFamily of the service"},
		{"IPv6", dual, "fd00::10", []func(*corev1.Service){families("SingleStack", "IPv6")}, "fd00::11"},
		{"both", dual, "", []func(*corev1.Service){families("RequireDualStack", both...)}, "192.0.2.10 fd00::10"},
		{"both, as wished", dual, "", []func(*corev1.Service){families("RequireDualStack", both...), wish("sampan.dev/load-balancer-ips", "fd00::11, 192.0.2.12")}, "192.0.2.12 fd00::11"},
		{"both needed", v4, "", []func(*corev1.Service){families("RequireDualStack", both...)}, "no available IPs"},
		{"both preferred", v4, "", []func(*corev1.Service){families("PreferDualStack", both...)}, "192.0.2.10"},
		{"none of both", nil, "", []func(*corev1.Service){families("PreferDualStack", both...)}, "no available IPs"},
	} {
		svc := service("s", 1, false, 80)
		for _, change := range c.change {
			change(svc)
		}
		taken := strings.Fields(c.taken)
		var got string
		cl, err := claimOf(svc)
		if err == nil {
			var addrs []netip.Addr
			addrs, err = assign(ranges(t, c.ranges...), cl, func(a netip.Addr) string {
				if slices.Contains(taken, a.String()) {
					return "Service ns/o"
				}
				return ""
			})
			got = strings.Trim(fmt.Sprint(addrs), "[]")
		}
		if err != nil {
			got = err.Error()
			if !strings.Contains(got, c.want) {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
			continue
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What was given out is nobody else's before the view shows it, and is free again when its Service has ended or is gone.
func TestPool(t *testing.T) {
	p := New(Config{Ranges: ranges(t, "192.0.2.10-192.0.2.11")})
	first, second, third := service("first", 1, false, 80), service("second", 2, false, 80), service("third", 3, false, 80)
	services := []*corev1.Service{first, second, third}
	var events []string
	p.Begin(cloud.View{
		Services: func() []*corev1.Service { return services },
		Nodes:    func() []*corev1.Node { return []*corev1.Node{node("n", "True", in("InternalIP", "192.0.2.1"))} },
		Event: func(svc *corev1.Service, kind, reason, message string) {
			events = append(events, svc.Name+" "+kind+" "+reason+": "+message)
		},
	})
	ensure := func(svc *corev1.Service) string {
		status, err := p.Balancers.EnsureLoadBalancer(context.Background(), "", svc, nil)
		if err != nil {
			return err.Error()
		}
		if m := status.Ingress[0].IPMode; m == nil || *m != corev1.LoadBalancerIPModeVIP {
			t.Errorf("mode %v", m)
		}
		return status.Ingress[0].IP
	}
	check := func(svc *corev1.Service, want string) {
		t.Helper()
		if got := ensure(svc); got != want {
			t.Errorf("%s gets %q, want %q", svc.Name, got, want)
		}
	}
	none := `failed to allocate IP for "ns/third": no available IPs`
	check(first, "192.0.2.10")
	check(second, "192.0.2.11")
	check(first, "192.0.2.10")
	check(third, none)
	if err := p.Balancers.EnsureLoadBalancerDeleted(context.Background(), "", first); err != nil {
		t.Fatal(err)
	}
	check(third, "192.0.2.10")
	check(first, strings.Replace(none, "third", "first", 1))
	services = []*corev1.Service{first, second}
	check(first, "192.0.2.10")
	want := []string{
		`first Normal IPAllocated: Assigned IP ["192.0.2.10"]`, `second Normal IPAllocated: Assigned IP ["192.0.2.11"]`,
		`first Normal IPAllocated: Assigned IP ["192.0.2.10"]`, `third Warning AllocationFailed: Failed to allocate IP for "ns/third": no available IPs`,
	}
	if !slices.Equal(events[:4], want) {
		t.Errorf("events\n%s", strings.Join(events, "\n"))
	}
}

// A pool that was made anew goes by the statuses. Of two that have the same address the older keeps it; a node's own is nobody's.
func TestPoolAfterARestart(t *testing.T) {
	p := New(Config{Ranges: ranges(t, "192.0.2.1-192.0.2.3")})
	older, younger := service("older", 1, false, 80), service("younger", 2, false, 80)
	for _, s := range []*corev1.Service{older, younger} {
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.2"}}
	}
	p.Begin(cloud.View{
		Services: func() []*corev1.Service { return []*corev1.Service{older, younger} },
		Nodes:    func() []*corev1.Node { return []*corev1.Node{node("n", "True", in("InternalIP", "192.0.2.1"))} },
		Event:    func(*corev1.Service, string, string, string) {},
	})
	for svc, want := range map[*corev1.Service]string{younger: "192.0.2.3", older: "192.0.2.2"} {
		status, err := p.Balancers.EnsureLoadBalancer(context.Background(), "", svc, nil)
		if err != nil || status.Ingress[0].IP != want {
			t.Errorf("%s: %+v, %v; want %s", svc.Name, status, err, want)
		}
	}
	if !p.Announced(netip.MustParseAddr("192.0.2.3")) || p.Announced(netip.MustParseAddr("192.0.2.4")) || New(Config{}).Announced != nil {
		t.Error("other addresses than those of the ranges are announced")
	}
}
