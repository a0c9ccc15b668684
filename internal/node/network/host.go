package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// setupHost makes what the node needs once: forwarding, the link with the gateway address, and a route that refuses what
// is addressed to no pod (without it such packets would leave by the default route and might come back for ever).
func setupHost(h *netlink.Handle, n names, cidr netip.Prefix) error {
	if err := sysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	link, err := gatewayLink(h, n.gateway())
	if err != nil {
		return err
	}
	want := Gateway(cidr)
	addrs, err := whole(func() ([]netlink.Addr, error) { return h.AddrList(link, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", n.gateway(), err)
	}
	for _, a := range addrs {
		if !a.IP.Equal(want.AsSlice()) {
			_ = h.AddrDel(link, &a)
		}
	}
	if err := h.AddrReplace(link, &netlink.Addr{IPNet: hostNet(want)}); err != nil {
		return fmt.Errorf("address of %s: %w", n.gateway(), err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", n.gateway(), err)
	}
	old, err := listRoutes(h, n)
	if err != nil {
		return err
	}
	for _, r := range old { // of a range that the node had before
		if dst, ok := prefixOf(&r); ok && r.Type == unix.RTN_UNREACHABLE && dst != cidr {
			_ = h.RouteDel(&r)
		}
	}
	refuse := &netlink.Route{Dst: ipNet(cidr), Type: unix.RTN_UNREACHABLE, Protocol: routeProtocol, Priority: n.metric()}
	if err := h.RouteReplace(refuse); err != nil {
		return fmt.Errorf("route of the pod range: %w", err)
	}
	return nil
}

// gatewayLink finds or makes the link: a dummy, or where the kernel has none, a bridge without ports, which serves as one.
func gatewayLink(h *netlink.Handle, name string) (netlink.Link, error) {
	if l, err := h.LinkByName(name); err == nil {
		return l, nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	errDummy := h.LinkAdd(&netlink.Dummy{LinkAttrs: attrs})
	if errDummy != nil {
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return nil, fmt.Errorf("add link %s: %w", name, errors.Join(errDummy, err))
		}
	}
	return h.LinkByName(name)
}

// uplinkMTU is the MTU of the default route's link, or Ethernet's.
func uplinkMTU(h *netlink.Handle) int {
	if l, ok := uplink(h); ok && l.Attrs().MTU > 0 {
		return l.Attrs().MTU
	}
	return 1500
}

// whole repeats a listing that the kernel says was changed under it, which is nothing unusual while pods come and go.
func whole[T any](list func() ([]T, error)) (out []T, err error) {
	for range 10 {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, nil // as good as it gets
}

// sysctl sets a kernel setting unless it has that value already (it may be read-only in a container that prepared it).
func sysctl(key, value string) error {
	path := "/proc/sys/" + key
	old, err := os.ReadFile(path)
	if err == nil && len(old) >= len(value) && string(old[:len(value)]) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s=%s: %w", key, value, err)
	}
	return nil
}
