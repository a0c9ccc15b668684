package cloud

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Range is addresses of one family, both ends in it.
type Range struct{ First, Last netip.Addr }

// Ranges are what balancers get their addresses of, in the order in which they are given out.
type Ranges []Range

// Has reports whether an address is in the range.
func (r Range) Has(a netip.Addr) bool {
	return a.BitLen() == r.First.BitLen() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
}

// Overlaps reports whether any address is in both.
func (r Range) Overlaps(p netip.Prefix) bool {
	return p.Contains(r.First) || p.Contains(r.Last) || r.Has(p.Masked().Addr())
}

// Has reports whether an address is in one of the ranges.
func (rs Ranges) Has(a netip.Addr) bool {
	return slices.ContainsFunc(rs, func(r Range) bool { return r.Has(a) })
}

// First is the first address that fits; the zero Addr when none does. It asks of no more addresses than there are that do not fit,
// and one.
func (rs Ranges) First(v6 bool, fits func(netip.Addr) bool) netip.Addr {
	for _, r := range rs {
		if r.First.Is6() != v6 {
			continue
		}
		for a := r.First; r.Has(a); a = a.Next() {
			if fits(a) {
				return a
			}
		}
	}
	return netip.Addr{}
}

// ParseRange reads "10.0.0.1-10.0.0.9", "10.0.0.0/24" or "10.0.0.1". Of an IPv4 prefix the first and the last address are left out.
func ParseRange(s string) (Range, error) {
	if first, last, ok := strings.Cut(s, "-"); ok {
		a, err := netip.ParseAddr(strings.TrimSpace(first))
		if err != nil {
			return Range{}, err
		}
		b, err := netip.ParseAddr(strings.TrimSpace(last))
		if err != nil {
			return Range{}, err
		}
		if a.BitLen() != b.BitLen() || b.Less(a) {
			return Range{}, fmt.Errorf("%s does not come after %s", b, a)
		}
		return Range{a, b}, nil
	}
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		return Range{a, a}, err
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return Range{}, err
	}
	bytes := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	if out := (Range{p.Masked().Addr(), last}); p.Addr().Is6() || p.Bits() > 30 {
		return out, nil
	}
	return Range{p.Masked().Addr().Next(), last.Prev()}, nil
}
