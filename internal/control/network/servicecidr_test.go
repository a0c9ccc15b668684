package network

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func cidr(name string, cidrs ...string) *networkingv1.ServiceCIDR {
	return &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: cidrs}}
}

func TestRangesThatAreNeeded(t *testing.T) {
	address := func(ip, by string) *networkingv1.IPAddress {
		return &networkingv1.IPAddress{ObjectMeta: metav1.ObjectMeta{Name: ip, Labels: map[string]string{networkingv1.LabelManagedBy: by}}}
	}
	ours := func(ip string) []*networkingv1.IPAddress {
		return []*networkingv1.IPAddress{address(ip, "ipallocator.k8s.io")}
	}
	main := cidr("kubernetes", "10.0.0.0/16")
	for _, tc := range []struct {
		name      string
		of        *networkingv1.ServiceCIDR
		others    []*networkingv1.ServiceCIDR
		addresses []*networkingv1.IPAddress
		want      bool
	}{
		{"nobody has one", cidr("x", "10.1.0.0/16"), nil, nil, false},
		{"somebody has one", cidr("x", "10.1.0.0/16"), []*networkingv1.ServiceCIDR{main}, ours("10.1.2.3"), true},
		{"somebody else's address", cidr("x", "10.1.0.0/16"), nil, []*networkingv1.IPAddress{address("10.1.2.3", "me")}, false},
		{"another range's address", cidr("x", "10.1.0.0/16"), []*networkingv1.ServiceCIDR{main}, ours("10.0.2.3"), false},
		{"within another", cidr("x", "10.0.1.0/24"), []*networkingv1.ServiceCIDR{main}, ours("10.0.1.3"), false},
		{"the same range twice", cidr("x", "10.0.0.0/16"), []*networkingv1.ServiceCIDR{main}, ours("10.0.1.3"), false},
		{"a part of it elsewhere", cidr("x", "10.0.0.0/16"), []*networkingv1.ServiceCIDR{cidr("y", "10.0.1.0/24")}, ours("10.0.1.3"), false},
		{"the rest of it", cidr("x", "10.0.0.0/16"), []*networkingv1.ServiceCIDR{cidr("y", "10.0.1.0/24")}, ours("10.0.2.3"), true},
		{"of two families", cidr("x", "10.1.0.0/16", "fd00::/112"), nil, ours("fd00::5"), true},
	} {
		if got := needed(tc.of, append(tc.others, tc.of), tc.addresses); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
