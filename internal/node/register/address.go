package register

import (
	"net"
	"slices"
	"strings"
)

// routedIPs are the addresses that were configured, else the one by which the default route goes out; nil when there is neither.
func routedIPs(configured []net.IP) []string {
	var out []string
	for _, ip := range configured {
		if ip != nil && !ip.IsUnspecified() {
			out = append(out, ip.String())
		}
	}
	if len(out) > 0 {
		return out
	}
	family := []string{"udp4", "udp6"}
	if len(configured) > 0 && configured[0].To4() == nil {
		slices.Reverse(family)
	}
	for _, network := range family {
		target := "192.0.2.1:9" // documentation addresses: connecting a datagram socket sends nothing
		if network == "udp6" {
			target = "[2001:db8::1]:9"
		}
		c, err := net.Dial(network, target)
		if err != nil {
			continue
		}
		ip := c.LocalAddr().(*net.UDPAddr).IP
		c.Close()
		if !ip.IsLoopback() {
			return []string{ip.String()}
		}
	}
	return nil
}

// findIPs are the routed addresses, else any of the machine's, else the loopback's.
func findIPs(configured []net.IP) []string {
	if ips := routedIPs(configured); len(ips) > 0 {
		return ips
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
				return []string{n.IP.String()}
			}
		}
	}
	return []string{"127.0.0.1"}
}

// moved reports whether a node takes over the addresses that were found for it now. It keeps those it has while there is no
// default route, which a link that is set up anew has not for a moment; and a node does not change its family.
func moved(was, now []string) bool {
	if len(now) == 0 || slices.Equal(now, was) {
		return false
	}
	return len(was) == 0 || strings.Contains(now[0], ":") == strings.Contains(was[0], ":")
}
