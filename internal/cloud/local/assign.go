package local

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sampan.dev/internal/cloud"

	corev1 "k8s.io/api/core/v1"
)

// wishes are the annotations of a Service that ask for addresses, separated by commas: our own, and those that people have of the
// programs which they used before.
var wishes = []string{"sampan.dev/load-balancer-ips", "metallb.io/loadBalancerIPs", "kube-vip.io/loadbalancerIPs"}

// claim is what a Service asks of the ranges.
type claim struct {
	families []corev1.IPFamily // in the Service's order
	all      bool              // an address of each family or none; else those that there are
	wished   []netip.Addr      // at most one of a family
	has      []netip.Addr      // what it has, which it keeps if it may
}

// claimOf reads a Service. A Service without families is one of IPv4.
func claimOf(svc *corev1.Service) (claim, error) {
	c := claim{families: svc.Spec.IPFamilies, has: held(svc)}
	if len(c.families) == 0 {
		c.families = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	policy := svc.Spec.IPFamilyPolicy
	c.all = policy == nil || *policy != corev1.IPFamilyPolicyPreferDualStack
	asked, where := svc.Spec.LoadBalancerIP, "spec.loadBalancerIP"
	for _, name := range wishes {
		v := svc.Annotations[name]
		if v == "" {
			continue
		}
		if asked != "" {
			return c, fmt.Errorf("service can not have both %s and %s", name, where)
		}
		asked, where = v, name
	}
	if asked == "" {
		return c, nil
	}
	for s := range strings.SplitSeq(asked, ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			return c, fmt.Errorf("invalid %s %q: not a list of IP addresses", where, asked)
		}
		c.wished = append(c.wished, a.Unmap())
	}
	for i, a := range c.wished {
		same := func(b netip.Addr) bool { return b.Is6() == a.Is6() }
		if !slices.ContainsFunc(c.families, func(f corev1.IPFamily) bool { return is6(f) == a.Is6() }) || slices.ContainsFunc(c.wished[:i], same) {
			return c, fmt.Errorf("requested loadBalancer IP(s) %q does not match the ipFamily of the service", c.wished)
		}
	}
	return c, nil
}

func is6(f corev1.IPFamily) bool { return f == corev1.IPv6Protocol }

// held are the addresses that a Service's status has.
func held(svc *corev1.Service) []netip.Addr {
	var out []netip.Addr
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if a, err := netip.ParseAddr(in.IP); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// errNone says that the ranges are exhausted.
var errNone = errors.New("no available IPs")

// assign decides the addresses of a Service: of each of its families the one that it wishes for, the one that it has, or the first that
// is free. taken says whose an address is, "" nobody's.
func assign(ranges cloud.Ranges, c claim, taken func(netip.Addr) string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, f := range c.families {
		switch a, err := assignOne(ranges, c, is6(f), taken); {
		case err == nil:
			out = append(out, a)
		case c.all || !errors.Is(err, errNone):
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, errNone
	}
	return out, nil
}

func assignOne(ranges cloud.Ranges, c claim, v6 bool, taken func(netip.Addr) string) (netip.Addr, error) {
	for _, a := range c.wished {
		if a.Is6() != v6 {
			continue
		}
		if !ranges.Has(a) {
			return a, fmt.Errorf("%q is not allowed in config", a)
		}
		if owner := taken(a); owner != "" {
			return a, fmt.Errorf("address %s is in use by %s", a, owner)
		}
		return a, nil
	}
	free := func(a netip.Addr) bool { return taken(a) == "" }
	for _, a := range c.has {
		if a.Is6() == v6 && ranges.Has(a) && free(a) {
			return a, nil
		}
	}
	if a := ranges.First(v6, free); a.IsValid() {
		return a, nil
	}
	return netip.Addr{}, errNone
}
