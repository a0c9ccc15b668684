package alloc

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/hub/store/memory"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func having(name string, ips ...string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ips[0], ClusterIPs: ips}}
}

// The words are upstream's.
func TestRepairs(t *testing.T) {
	now := time.Now()
	object := func(ip, svc string, age time.Duration, change ...func(*networkingv1.IPAddress)) *networkingv1.IPAddress {
		o := ipObject(netip.MustParseAddr(ip), having(svc, ip))
		o.CreationTimestamp = metav1.NewTime(now.Add(-age))
		for _, f := range change {
			f(o)
		}
		return o
	}
	unlabelled := func(o *networkingv1.IPAddress) { o.Labels = nil }
	elsewhere := func(o *networkingv1.IPAddress) { o.Spec.ParentRef.Resource = "pods" }
	for _, tc := range []struct {
		name     string
		services []*corev1.Service
		objects  []*networkingv1.IPAddress
		want     []string // "reason: message -> made for" with "!" before one that replaces
		later    bool
	}{
		{name: "as it should be", services: []*corev1.Service{having("a", "10.0.0.1")}, objects: []*networkingv1.IPAddress{object("10.0.0.1", "a", time.Hour)}},
		{name: "no object", services: []*corev1.Service{having("a", "10.0.0.1")}, want: []string{"ClusterIPNotAllocated: Cluster IP [IPv4]: 10.0.0.1 is not allocated; repairing -> a"}},
		{name: "out of range", services: []*corev1.Service{having("a", "192.0.2.1")},
			want: []string{"ClusterIPOutOfRange: Cluster IP [IPv4]: 192.0.2.1 is not within any configured Service CIDR; please recreate service -> "}},
		{name: "headless", services: []*corev1.Service{having("a", "None")}},
		{name: "of somebody who is gone", services: []*corev1.Service{having("a", "10.0.0.1")}, objects: []*networkingv1.IPAddress{object("10.0.0.1", "b", time.Hour)},
			want: []string{"!ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.0.0.1 for Service ns/a has a wrong reference; repairing -> a",
				"!IPAddressNotAllocated: IPAddress: 10.0.0.1 for Service ns/b appears to have leaked: cleaning up -> "}},
		{name: "twice", services: []*corev1.Service{having("a", "10.0.0.1"), having("b", "10.0.0.1")}, objects: []*networkingv1.IPAddress{object("10.0.0.1", "b", time.Hour)},
			want: []string{"ClusterIPAlreadyAllocated: Cluster IP [IPv4]:10.0.0.1 was assigned to multiple services; please recreate service -> "}},
		{name: "labels", services: []*corev1.Service{having("a", "10.0.0.1")}, objects: []*networkingv1.IPAddress{object("10.0.0.1", "a", time.Hour, unlabelled)}, want: []string{"!:  -> a"}},
		{name: "leaked", objects: []*networkingv1.IPAddress{object("10.0.0.1", "a", time.Hour)},
			want: []string{"!IPAddressNotAllocated: IPAddress: 10.0.0.1 for Service ns/a appears to have leaked: cleaning up -> "}},
		{name: "on its way", objects: []*networkingv1.IPAddress{object("10.0.0.1", "a", time.Second)}, later: true},
		{name: "of a service with another address", services: []*corev1.Service{having("a", "10.0.0.1")},
			objects: []*networkingv1.IPAddress{object("10.0.0.1", "a", time.Hour), object("10.0.0.2", "a", time.Hour)},
			want:    []string{"!IPAddressWrongReference: IPAddress: 10.0.0.2 for Service ns/a has a wrong reference; cleaning up -> "}},
		{name: "changed", objects: []*networkingv1.IPAddress{object("10.0.0.1", "a", 0, elsewhere)},
			want: []string{"!IPAddressNotAllocated: IPAddress 10.0.0.1 appears to have been modified, not referencing a Service &ParentReference{Group:,Resource:pods,Namespace:ns,Name:a,}: cleaning up -> "}},
		{name: "a user's own", objects: []*networkingv1.IPAddress{object("10.0.0.9", "a", time.Hour, unlabelled)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fixes, later := repairs(tc.services, tc.objects, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, now)
			var got []string
			for _, f := range fixes {
				s, to := "", ""
				if f.replace {
					s = "!"
				}
				if f.svc != nil {
					to = f.svc.Name
				}
				got = append(got, fmt.Sprintf("%s%s: %s -> %s", s, f.reason, f.message, to))
			}
			if !slices.Equal(got, tc.want) || (later > 0) != tc.later {
				t.Errorf("%q, %v", got, later)
			}
		})
	}
}

// Of many who want a port each has another, whoever of the servers gives it.
func TestPortRecord(t *testing.T) {
	st := memory.New()
	ctx := t.Context()
	servers := []*portRecord{{store: st, first: 30000, last: 30063}, {store: st, first: 30000, last: 30063}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[int32]int{}
	for i := range 128 {
		wg.Go(func() {
			port := int32(30000 + i%64)
			switch err := servers[i/64].take(ctx, port); {
			case err == nil:
				mu.Lock()
				won[port]++
				mu.Unlock()
			case !errors.Is(err, errPortTaken):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for p := int32(30000); p < 30064; p++ {
		if won[p] != 1 {
			t.Errorf("%d was given %d times", p, won[p])
		}
	}
	if err := servers[0].give(ctx, []int32{30001, 30002}); err != nil {
		t.Fatal(err)
	}
	if err := servers[1].take(ctx, 30001); err != nil {
		t.Error(err)
	}
	if err := servers[1].add(ctx, []int32{30002, 80}); err != nil {
		t.Fatal(err)
	}
	if err := servers[0].take(ctx, 30002); !errors.Is(err, errPortTaken) {
		t.Error(err)
	}
}

func TestRangesOf(t *testing.T) {
	base := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	cidr := func(ready string, cidrs ...string) *networkingv1.ServiceCIDR {
		c := &networkingv1.ServiceCIDR{Spec: networkingv1.ServiceCIDRSpec{CIDRs: cidrs}}
		if ready != "" {
			c.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: metav1.ConditionStatus(ready)}}
		}
		return c
	}
	leaving := cidr("True", "10.98.0.0/24")
	leaving.DeletionTimestamp = &metav1.Time{}
	for name, tc := range map[string]struct {
		all  []*networkingv1.ServiceCIDR
		want string
	}{
		"none":         {nil, "[10.96.0.0/16]"},
		"the default":  {[]*networkingv1.ServiceCIDR{cidr("True", "10.97.0.0/24"), cidr("", "10.96.0.0/16")}, "[10.96.0.0/16 10.97.0.0/24]"},
		"not ready":    {[]*networkingv1.ServiceCIDR{cidr("False", "10.97.0.0/24"), cidr("True", "10.96.0.0/16"), leaving}, "[10.96.0.0/16]"},
		"two families": {[]*networkingv1.ServiceCIDR{cidr("True", "10.96.0.0/16", "fd00::/112")}, "[10.96.0.0/16 fd00::/112]"},
	} {
		if got := fmt.Sprint(rangesOf(tc.all, base)); got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
