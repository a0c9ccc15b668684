package network

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// planRoutes says by which address each other node's pod range is reached. Nodes without a range or an address are not
// there yet.
func planRoutes(self string, nodes []*corev1.Node) map[netip.Prefix]netip.Addr {
	out := map[netip.Prefix]netip.Addr{}
	for _, n := range nodes {
		if n.Name == self {
			continue
		}
		via, ok := internalIP(n)
		if !ok {
			continue
		}
		for _, c := range podCIDRs(n) {
			out[c] = via
		}
	}
	return out
}

// podCIDRs are a node's IPv4 pod ranges.
func podCIDRs(n *corev1.Node) []netip.Prefix {
	list := n.Spec.PodCIDRs
	if len(list) == 0 && n.Spec.PodCIDR != "" {
		list = []string{n.Spec.PodCIDR}
	}
	var out []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil && p.Addr().Is4() {
			out = append(out, p.Masked())
		}
	}
	return out
}

func internalIP(n *corev1.Node) (netip.Addr, bool) {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			if ip, err := netip.ParseAddr(a.Address); err == nil && ip.Is4() {
				return ip, true
			}
		}
	}
	return netip.Addr{}, false
}

// applyRoutes makes the kernel's routes to other nodes those of want. A node that is not on a network of ours cannot be
// reached by a route of ours; it is named in the error, and the others are done all the same.
func applyRoutes(h *netlink.Handle, n names, own netip.Prefix, want map[netip.Prefix]netip.Addr) error {
	have, err := listRoutes(h, n)
	if err != nil {
		return err
	}
	var errs []error
	seen := map[netip.Prefix]netip.Addr{}
	for _, r := range have {
		dst, ok := prefixOf(&r)
		if !ok || r.Type != unix.RTN_UNICAST || len(r.Gw) == 0 || dst == own {
			continue // a pod's, or the refusal of our own range
		}
		gw, _ := netip.AddrFromSlice(r.Gw.To4())
		if want[dst] == gw {
			seen[dst] = gw
			continue
		}
		if err := h.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove route to %s: %w", dst, err))
		}
	}
	for dst, via := range want {
		if dst == own || seen[dst] == via {
			continue
		}
		if err := addRoute(h, n, dst, via); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func addRoute(h *netlink.Handle, n names, dst netip.Prefix, via netip.Addr) error {
	path, err := h.RouteGet(via.AsSlice())
	if err != nil || len(path) == 0 {
		return fmt.Errorf("route to %s: no way to node address %s: %w", dst, via, err)
	}
	if len(path[0].Gw) != 0 {
		return fmt.Errorf("route to %s: node address %s is behind %s, not on a network of this node", dst, via, path[0].Gw)
	}
	r := &netlink.Route{LinkIndex: path[0].LinkIndex, Dst: ipNet(dst), Gw: via.AsSlice(), Protocol: routeProtocol, Priority: n.metric()}
	if err := h.RouteReplace(r); err != nil {
		return fmt.Errorf("route to %s via %s: %w", dst, via, err)
	}
	return nil
}

// listRoutes are the instance's routes of all kinds.
func listRoutes(h *netlink.Handle, n names) ([]netlink.Route, error) {
	all, err := whole(func() ([]netlink.Route, error) {
		return h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN, Protocol: routeProtocol}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var out []netlink.Route
	for _, r := range all {
		if r.Priority == n.metric() {
			out = append(out, r)
		}
	}
	return out, nil
}

func prefixOf(r *netlink.Route) (netip.Prefix, bool) {
	if r.Dst == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(r.Dst.IP.To4())
	if !ok {
		return netip.Prefix{}, false
	}
	ones, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(a, ones), true
}
