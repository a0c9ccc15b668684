package announce

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// link is one of the node on which something may be announced.
type link struct {
	index    int
	name     string
	station  station
	prefixes []netip.Prefix // the networks that it is on
	uplink   [2]bool        // a default route of IPv4, of IPv6 leaves by it
}

func family(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

// belongs says on which links an address is announced: those that are on its network, else those that the default route leaves by.
func belongs(links []link, a netip.Addr) []int {
	var on, up []int
	for _, l := range links {
		if slices.ContainsFunc(l.prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
			on = append(on, l.index)
		}
		if l.uplink[family(a.Is6())] {
			up = append(up, l.index)
		}
	}
	if len(on) > 0 {
		return on
	}
	return up
}

// ownLinks is what the names of clusters' links begin with; theirs are the pods' and the gateways'.
const ownLinks = "smp"

// links lists those of this machine: Ethernet that is up, with the addresses of their networks.
func links() ([]link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("links: %w", err)
	}
	var out []link
	for _, l := range all {
		a := l.Attrs()
		if a.EncapType != "ether" || len(a.HardwareAddr) != 6 || a.Flags&net.FlagUp == 0 || a.Flags&net.FlagLoopback != 0 || a.RawFlags&unix.IFF_NOARP != 0 ||
			a.MasterIndex != 0 || strings.HasPrefix(a.Name, ownLinks) {
			continue
		}
		n := link{index: a.Index, name: a.Name, station: station{mac: a.HardwareAddr}}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", a.Name, err)
		}
		for _, addr := range addrs {
			n.add(addr.IPNet)
		}
		out = append(out, n)
	}
	for v6, f := range map[bool]int{false: netlink.FAMILY_V4, true: netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(f, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
		if err != nil {
			continue // a machine without the family
		}
		for i := range out {
			out[i].uplink[family(v6)] = slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.LinkIndex == out[i].index })
		}
	}
	return out, nil
}

// add notes an address of the link. Link-local ones are no network to announce on.
func (l *link) add(n *net.IPNet) {
	a, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return
	}
	bits, _ := n.Mask.Size()
	a = a.Unmap()
	switch {
	case a.Is6() && a.IsLinkLocalUnicast():
		l.station.linkLocal = a
	case bits < a.BitLen():
		l.prefixes = append(l.prefixes, netip.PrefixFrom(a, bits).Masked())
	}
}
