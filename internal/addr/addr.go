package addr

import (
	"net/netip"
	"strings"
)

// special are the ranges that no node, pod or server of the cluster can have: what is local to a machine or link, what goes to
// many, and the forms of IPv6 addresses that carry an IPv4 address, by which each of the others could be meant.
var special = []struct {
	what   string
	within netip.Prefix
}{
	{"this network", netip.MustParsePrefix("0.0.0.0/8")},
	{"loopback", netip.MustParsePrefix("127.0.0.0/8")},
	{"link-local", netip.MustParsePrefix("169.254.0.0/16")},
	{"multicast", netip.MustParsePrefix("224.0.0.0/4")},
	{"reserved", netip.MustParsePrefix("240.0.0.0/4")}, // with the limited broadcast
	{"unspecified, loopback or IPv4-compatible", netip.MustParsePrefix("::/96")},
	{"IPv4-mapped", netip.MustParsePrefix("::ffff:0:0/96")},
	{"IPv4-translated", netip.MustParsePrefix("::ffff:0:0:0/96")},
	{"IPv4 behind NAT64", netip.MustParsePrefix("64:ff9b::/96")},
	{"IPv4 behind NAT64", netip.MustParsePrefix("64:ff9b:1::/48")},
	{"Teredo", netip.MustParsePrefix("2001::/32")},
	{"6to4", netip.MustParsePrefix("2002::/16")},
	{"link-local", netip.MustParsePrefix("fe80::/10")},
	{"site-local", netip.MustParsePrefix("fec0::/10")},
	{"multicast", netip.MustParsePrefix("ff00::/8")},
	// Clouds that answer for machines' metadata and credentials elsewhere than on link-local addresses.
	{"metadata service", netip.MustParsePrefix("100.100.100.200/32")},
	{"metadata service", netip.MustParsePrefix("168.63.129.16/32")},
	{"metadata service", netip.MustParsePrefix("192.0.0.192/32")},
	{"metadata service", netip.MustParsePrefix("fd00:ec2::254/128")},
	{"metadata service", netip.MustParsePrefix("fd20:ce::254/128")},
}

// Special says what kind of address a is that nothing of a cluster can have, or "".
func Special(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "not an address"
	case a.Zone() != "":
		return "bound to a link"
	}
	for _, s := range special {
		if s.within.Contains(a) {
			return s.what
		}
	}
	if a.Is4In6() { // a prefix of IPv6 does not contain it
		return "IPv4-mapped"
	}
	return ""
}

// Numeric tells whether a host that is no address as it is written is one of the forms that some resolvers take for one
// (decimal, octal, hexadecimal, fewer than four parts): no name of a machine ends in a number (WHATWG URL, section 3.5).
func Numeric(host string) bool {
	last := strings.TrimSuffix(host, ".") // as a resolver reads it
	if i := strings.LastIndexByte(last, '.'); i >= 0 {
		last = last[i+1:]
	}
	if hex, ok := strings.CutPrefix(strings.ToLower(last), "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}
