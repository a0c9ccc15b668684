package userspace

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// protocol marks routes of ours, as `ip route show table local` tells them ("proto 83").
const protocol = 83

// routes makes addresses the machine's own by routes of type local on the loopback device. Unlike addresses of that device
// they carry a mark that outlives the process, in both families, and nobody who lists the machine's addresses sees them.
type routes struct {
	v6   bool
	mark int // the route's metric: which cluster's it is
}

// newRoutes are those of an instance: "", or eight hexadecimal digits.
func newRoutes(instance string, v6 bool) routes {
	mark := 1
	if n, err := strconv.ParseUint(instance, 16, 32); err == nil {
		mark = int(max(2, n&0x7fff_ffff))
	}
	return routes{v6: v6, mark: mark}
}

func (r routes) family() int {
	if r.v6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

func (r routes) to(a netip.Addr, link int) *netlink.Route {
	return &netlink.Route{LinkIndex: link, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Protocol: protocol, Priority: r.mark,
		Dst: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}}
}

// add makes an address the machine's own.
func (r routes) add(a netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("the loopback device: %w", err)
	}
	if err := netlink.RouteReplace(r.to(a, lo.Attrs().Index)); err != nil {
		return fmt.Errorf("a local route to %s: %w", a, err)
	}
	return nil
}

// remove takes it back.
func (r routes) remove(a netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("the loopback device: %w", err)
	}
	if err := netlink.RouteDel(r.to(a, lo.Attrs().Index)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("the local route to %s: %w", a, err)
	}
	return nil
}

// list returns the addresses that are the machine's own by routes of ours, of this process or an earlier one.
func (r routes) list() ([]netip.Addr, error) {
	all, err := netlink.RouteListFiltered(r.family(), &netlink.Route{Table: unix.RT_TABLE_LOCAL, Protocol: protocol}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("list local routes: %w", err)
	}
	var out []netip.Addr
	for _, x := range all {
		if x.Priority != r.mark || x.Dst == nil {
			continue
		}
		if a, ok := netip.AddrFromSlice(x.Dst.IP); ok {
			out = append(out, a.Unmap())
		}
	}
	return out, nil
}

// Cleanup removes what an instance's proxy made of the machine: its local routes, in both families.
func Cleanup(instance string) error {
	var errs []error
	for _, v6 := range []bool{false, true} {
		r := newRoutes(instance, v6)
		all, err := r.list()
		errs = append(errs, err)
		for _, a := range all {
			errs = append(errs, r.remove(a))
		}
	}
	return errors.Join(errs...)
}
