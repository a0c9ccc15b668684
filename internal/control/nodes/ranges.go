package nodes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// maxRangeBits bounds the number of node ranges in a cluster range.
const maxRangeBits = 16

var errRangesUsedUp = errors.New("CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range")

// ranges divides a cluster range into ranges of one size, each for one owner. It is not safe for concurrent use.
type ranges struct {
	all   netip.Prefix
	bits  int // length of the prefixes handed out
	used  map[int]string
	spoil map[int]bool // never handed out: service addresses
	next  int
}

func newRanges(all netip.Prefix, bits int) (*ranges, error) {
	all = all.Masked()
	if bits < all.Bits() || bits > all.Addr().BitLen() {
		return nil, fmt.Errorf("cluster range %s cannot be divided into /%d", all, bits)
	}
	if bits-all.Bits() > maxRangeBits {
		return nil, fmt.Errorf("cluster range %s: the node CIDR size is too big: more than %d bits of /%d", all, maxRangeBits, bits)
	}
	return &ranges{all: all, bits: bits, used: map[int]string{}, spoil: map[int]bool{}}, nil
}

func (r *ranges) size() int { return 1 << (r.bits - r.all.Bits()) }

// at returns the i-th range.
func (r *ranges) at(i int) netip.Prefix {
	b := r.all.Addr().As16()
	shift := 128 - r.bits
	if r.all.Addr().Is4() {
		shift = 32 - r.bits
	}
	// Add i shifted left to the address, as a number of 128 bits.
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if shift >= 64 {
		hi |= uint64(i) << (shift - 64)
	} else {
		lo |= uint64(i) << shift
		hi |= uint64(i) >> (64 - shift) // 0 when shift is 0: i has 16 bits
	}
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	addr := netip.AddrFrom16(b)
	if r.all.Addr().Is4() {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, r.bits)
}

// index returns the place of the range that holds addr.
func (r *ranges) index(addr netip.Addr) int {
	b, base := addr.As16(), r.all.Addr().As16()
	shift := 128 - r.bits
	if r.all.Addr().Is4() {
		shift = 32 - r.bits
	}
	hi := binary.BigEndian.Uint64(b[:8]) ^ binary.BigEndian.Uint64(base[:8])
	lo := binary.BigEndian.Uint64(b[8:]) ^ binary.BigEndian.Uint64(base[8:])
	if shift >= 64 {
		return int(hi >> (shift - 64))
	}
	return int(lo>>shift | hi<<(64-shift))
}

// occupy marks all ranges that touch p as owner's. A range that is another's stays that.
func (r *ranges) occupy(p netip.Prefix, owner string) error {
	return r.each(p, func(i int) {
		if r.used[i] == "" {
			r.used[i] = owner
		}
	})
}

// exclude keeps all ranges that touch p from being handed out.
func (r *ranges) exclude(p netip.Prefix) {
	if p.Overlaps(r.all) {
		r.each(p, func(i int) { r.spoil[i] = true })
	}
}

func (r *ranges) each(p netip.Prefix, f func(i int)) error {
	p = p.Masked()
	if !p.Overlaps(r.all) {
		return fmt.Errorf("range %s is out of the cluster's %s", p, r.all)
	}
	first, n := 0, r.size()
	if p.Bits() > r.all.Bits() {
		first, n = r.index(p.Addr()), 1<<max(0, r.bits-p.Bits())
	}
	for i := first; i < first+n; i++ {
		f(i)
	}
	return nil
}

// take gives owner the next free range.
func (r *ranges) take(owner string) (netip.Prefix, error) {
	n := r.size()
	for k := range n {
		i := (r.next + k) % n
		if r.used[i] == "" && !r.spoil[i] {
			r.used[i], r.next = owner, (i+1)%n
			return r.at(i), nil
		}
	}
	return netip.Prefix{}, errRangesUsedUp
}

// release frees all ranges of owner.
func (r *ranges) release(owner string) {
	for i, o := range r.used {
		if o == owner {
			delete(r.used, i)
		}
	}
}

// holds reports whether owner has a range.
func (r *ranges) holds(p netip.Prefix, owner string) bool {
	return p.Bits() == r.bits && p.Overlaps(r.all) && r.used[r.index(p.Addr())] == owner
}
