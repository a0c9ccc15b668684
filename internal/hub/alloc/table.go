package alloc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
)

// What clients see of a refusal; upstream's words.
var (
	errFull        = errors.New("range is full")
	errNoRange     = errors.New("the provided network does not match the current range")
	errIPTaken     = errors.New("provided IP is already allocated")
	errPortTaken   = errors.New("provided port is already allocated")
	errIPForeign   = "the provided IP (%s) is not in the valid range. The range of valid IPs is %s"
	errPortForeign = "provided port is not in the valid range. The range of valid ports is %d-%d"
)

// pool is the ranges of one family. used has the address's owner, in whatever range it is.
type pool struct {
	used   map[netip.Addr]types.UID
	ranges []*addresses
}

func newPool(ranges ...netip.Prefix) *pool {
	p := &pool{used: map[netip.Addr]types.UID{}}
	p.set(ranges)
	return p
}

// set makes these the ranges that addresses are taken from. What is taken stays taken.
func (p *pool) set(ranges []netip.Prefix) {
	p.ranges = nil
	for _, r := range ranges {
		p.ranges = append(p.ranges, newAddresses(r, p.used))
	}
}

// take gives an address to an owner who names it.
func (p *pool) take(ip netip.Addr, owner types.UID) error {
	for _, r := range p.ranges {
		if r.contains(ip) {
			return r.take(ip, owner)
		}
	}
	return errNoRange
}

// check decides on an address that a dry run names. As upstream's dry runs it looks at the first range only, and not at what is taken.
func (p *pool) check(ip netip.Addr) error {
	if len(p.ranges) == 0 {
		return errNoRange
	}
	if r := p.ranges[0]; !r.contains(ip) {
		return fmt.Errorf(errIPForeign, ip, r.prefix)
	}
	return nil
}

// dummy is the address that a dry run shows in place of one that would be chosen: the network's own, as upstream's dry runs do.
func (p *pool) dummy() (netip.Addr, error) {
	if len(p.ranges) == 0 {
		return netip.Addr{}, errFull
	}
	return p.ranges[0].prefix.Addr(), nil
}

// next gives an owner some address that is free and not one of those that skip has.
func (p *pool) next(owner types.UID, skip map[netip.Addr]bool) (netip.Addr, error) {
	for _, r := range p.ranges {
		if ip, err := r.next(owner, skip); err == nil {
			return ip, nil
		}
	}
	return netip.Addr{}, errFull
}

// addresses hands out the addresses of one service range. The lower band is left to those who name their address (up to 256
// of them): the dynamic ones are drawn from above it, at random, and from it only when the upper is full.
type addresses struct {
	prefix      netip.Prefix
	first, last netip.Addr
	band        uint64 // size of the lower band
	size        uint64 // of the whole, capped at 1<<62
	used        map[netip.Addr]types.UID
}

// newAddresses makes the range of a prefix; used is shared by the ranges of a family, which may overlap.
func newAddresses(p netip.Prefix, used map[netip.Addr]types.UID) *addresses {
	p = p.Masked()
	a := &addresses{prefix: p, first: p.Addr().Next(), used: used}
	host := p.Addr().BitLen() - p.Bits()
	a.size = 1<<min(host, 62) - 1 // the network's own address is nobody's
	if p.Addr().Is4() && a.size > 1 {
		a.size-- // nor is the broadcast address
	}
	a.last = add(a.first, a.size-1)
	a.band = band(a.size+2, 16, 16, 256)
	return a
}

// band is min(max(least, size/step), most), or nothing for a small range.
func band(size, step, least, most uint64) uint64 {
	if size <= least {
		return 0
	}
	return min(max(least, size/step), most)
}

func (a *addresses) contains(ip netip.Addr) bool {
	return ip.Compare(a.first) >= 0 && ip.Compare(a.last) <= 0
}

func (a *addresses) take(ip netip.Addr, owner types.UID) error {
	if _, taken := a.used[ip]; taken {
		return errIPTaken
	}
	a.used[ip] = owner
	return nil
}

func (a *addresses) next(owner types.UID, skip map[netip.Addr]bool) (netip.Addr, error) {
	for _, part := range [][2]uint64{{a.band, a.size}, {0, a.band}} {
		n := part[1] - part[0]
		if n == 0 {
			continue
		}
		at := rand.Uint64N(n)
		// Of n addresses at most these many are taken, so that many tries find a free one if there is any.
		for range min(n, uint64(len(a.used)+len(skip))+1) {
			ip := add(a.first, part[0]+at)
			if _, taken := a.used[ip]; !taken && !skip[ip] {
				a.used[ip] = owner
				return ip, nil
			}
			at = (at + 1) % n
		}
	}
	return netip.Addr{}, errFull
}

// add returns the address n above a.
func add(a netip.Addr, n uint64) netip.Addr {
	b := a.As16()
	for i := 15; i >= 0 && n > 0; i-- {
		n += uint64(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	out := netip.AddrFrom16(b)
	if a.Is4() {
		return out.Unmap()
	}
	return out
}

// ports hands out node ports, with a lower band like that of addresses.
type ports struct {
	first, last int32
	used        map[int32]types.UID
}

func (p *ports) take(port int32, owner types.UID) error {
	if port < p.first || port > p.last {
		return fmt.Errorf(errPortForeign, p.first, p.last)
	}
	if _, taken := p.used[port]; taken {
		return errPortTaken
	}
	p.used[port] = owner
	return nil
}

func (p *ports) next(owner types.UID, skip map[int32]bool) (int32, error) {
	size := uint64(p.last-p.first) + 1
	lower := band(size, 32, 16, 128)
	for _, part := range [][2]uint64{{lower, size}, {0, lower}} {
		n := part[1] - part[0]
		if n == 0 {
			continue
		}
		at := rand.Uint64N(n)
		for range n {
			port := p.first + int32(part[0]+at)
			if _, taken := p.used[port]; !taken && !skip[port] {
				p.used[port] = owner
				return port, nil
			}
			at = (at + 1) % n
		}
	}
	return 0, errFull
}
