package alloc

import (
	"context"
	"net/netip"
	"slices"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// follow makes the ranges those of the ServiceCIDRs that there are: those that are ready, or of which nobody has said whether they are,
// and that are not being deleted. Where there are none the ranges are those of the settings.
func (s *Services) follow(ctx context.Context) {
	if s.door == nil {
		return
	}
	all, err := client.ListAll[*networkingv1.ServiceCIDR](ctx, s.door, client.ServiceCIDRs, "", metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return // the ranges stay as they are
	}
	want := rangesOf(all, s.base)
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(want, s.mu.ranges) {
		return
	}
	byFamily := map[corev1.IPFamily][]netip.Prefix{}
	for _, r := range want {
		f := familyOf(r.Addr())
		byFamily[f] = append(byFamily[f], r)
	}
	for f, ranges := range byFamily {
		if s.mu.ips[f] == nil {
			s.mu.ips[f] = newPool()
		}
		s.mu.ips[f].set(ranges)
	}
	for f, p := range s.mu.ips {
		if byFamily[f] == nil {
			p.set(nil)
		}
	}
	s.mu.ranges = want
}

// rangesOf are the ranges that addresses are taken from, the default one's first.
func rangesOf(all []*networkingv1.ServiceCIDR, base []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range all {
		if c.DeletionTimestamp != nil || !ready(c) {
			continue
		}
		for _, text := range c.Spec.CIDRs {
			p, err := netip.ParsePrefix(text)
			if err != nil || slices.Contains(out, p) {
				continue
			}
			if slices.Contains(base, p) {
				out = slices.Insert(out, 0, p)
			} else {
				out = append(out, p)
			}
		}
	}
	if len(all) == 0 {
		return base
	}
	return out
}

func ready(c *networkingv1.ServiceCIDR) bool {
	for i := range c.Status.Conditions {
		if k := &c.Status.Conditions[i]; k.Type == networkingv1.ServiceCIDRConditionReady {
			return k.Status == metav1.ConditionTrue
		}
	}
	return true
}

// families are those that there are ranges of.
func (s *Services) families() []corev1.IPFamily {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []corev1.IPFamily
	for f, p := range s.mu.ips {
		if len(p.ranges) > 0 {
			out = append(out, f)
		}
	}
	return out
}
