package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// attach makes a pod's link: a veth pair of which the peer is born inside the pod's namespace, the pod's address and its
// default route there, and the host's route to it here. What a former attempt left is replaced.
func attach(h *netlink.Handle, le *lease, gateway netip.Addr, metric, mtu int) error {
	ns, err := netns.GetFromPath(le.NetNS)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", le.NetNS, err)
	}
	defer ns.Close()
	if old, err := h.LinkByName(le.Link); err == nil {
		if err := h.LinkDel(old); err != nil && !gone(err) {
			return fmt.Errorf("remove stale link %s: %w", le.Link, err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr, attrs.Flags = le.Link, mtu, hostMAC, net.FlagUp
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerNamespace, veth.PeerMTU = le.IfName, podMAC(le.Address), netlink.NsFd(int(ns)), uint32(mtu)
	if err := h.LinkAdd(veth); err != nil {
		return fmt.Errorf("add veth %s: %w", le.Link, err)
	}
	if err := inside(ns, le); err != nil {
		return err
	}
	link, err := h.LinkByName(le.Link)
	if err != nil {
		return fmt.Errorf("find veth %s: %w", le.Link, err)
	}
	index := link.Attrs().Index
	_ = h.LinkSetIP6AddrGenMode(link, 1) // none: no link-local address and no router solicitations for each pod
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", le.Link, err)
	}
	if err := h.NeighSet(&netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, IP: le.Address.AsSlice(), HardwareAddr: podMAC(le.Address)}); err != nil {
		return fmt.Errorf("neighbour of %s: %w", le.Link, err)
	}
	route := &netlink.Route{LinkIndex: index, Dst: hostNet(le.Address), Src: gateway.AsSlice(), Scope: netlink.SCOPE_LINK, Protocol: routeProtocol, Priority: metric}
	if err := h.RouteReplace(route); err != nil {
		return fmt.Errorf("route to %s: %w", le.Address, err)
	}
	return nil
}

// inside sets up the pod's end. The handle's socket lives in the pod's namespace, so no thread has to go there.
func inside(ns netns.NsHandle, le *lease) error {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink in %s: %w", le.NetNS, err)
	}
	defer h.Close()
	if lo, err := h.LinkByName("lo"); err == nil && lo.Attrs().Flags&net.FlagUp == 0 {
		if err := h.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set lo up: %w", err)
		}
	}
	link, err := h.LinkByName(le.IfName)
	if err != nil {
		return fmt.Errorf("find %s in the pod: %w", le.IfName, err)
	}
	index := link.Attrs().Index
	if err := h.AddrReplace(link, &netlink.Addr{IPNet: hostNet(le.Address)}); err != nil {
		return fmt.Errorf("address of %s: %w", le.IfName, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", le.IfName, err)
	}
	if err := h.RouteReplace(&netlink.Route{LinkIndex: index, Dst: hostNet(podGateway), Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("route to the gateway: %w", err)
	}
	if err := h.RouteReplace(&netlink.Route{LinkIndex: index, Dst: everywhere(), Gw: podGateway.AsSlice(), Src: le.Address.AsSlice()}); err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	if err := h.NeighSet(&netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, IP: podGateway.AsSlice(), HardwareAddr: hostMAC}); err != nil {
		return fmt.Errorf("neighbour of the gateway: %w", err)
	}
	return nil
}

// check tells what is missing of an attachment that should be there.
func check(h *netlink.Handle, le *lease) error {
	if _, err := h.LinkByName(le.Link); err != nil {
		return fmt.Errorf("link %s: %w", le.Link, err)
	}
	ns, err := netns.GetFromPath(le.NetNS)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", le.NetNS, err)
	}
	defer ns.Close()
	in, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer in.Close()
	link, err := in.LinkByName(le.IfName)
	if err != nil {
		return fmt.Errorf("link %s in the pod: %w", le.IfName, err)
	}
	addrs, err := in.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if a.IP.Equal(le.Address.AsSlice()) {
			return nil
		}
	}
	return fmt.Errorf("address %s is missing on %s", le.Address, le.IfName)
}

// unroute stops traffic to a pod at once; removing its link takes the kernel tens of milliseconds and happens later.
func unroute(h *netlink.Handle, le *lease, metric int) {
	_ = h.RouteDel(&netlink.Route{Dst: hostNet(le.Address), Protocol: routeProtocol, Priority: metric})
}

func delLink(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err == nil {
		err = h.LinkDel(link)
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("remove link %s: %w", name, err)
	}
	return nil
}

// gone says that a link is not there (any more), which also happens when a pod's namespace is removed at the same time.
func gone(err error) bool {
	var nf netlink.LinkNotFoundError
	return errors.As(err, &nf) || errors.Is(err, unix.ENODEV)
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func everywhere() *net.IPNet { return &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)} }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
