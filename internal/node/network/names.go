package network

import (
	"hash/crc32"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Addresses that are the same in every pod. The gateway is link-local, so it can never be a pod's or a service's; the host
// end of every veth has the same hardware address, so a pod's neighbour entry for the gateway is a constant.
var (
	podGateway = netip.MustParseAddr("169.254.1.1")
	hostMAC    = net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
)

// routeProtocol marks the routes that are ours ("ip route" shows proto 115); the metric tells whose instance's.
const routeProtocol = 115

// names are the names of everything an instance makes in the node's network namespace. A link's name has at most 15
// characters: "smp-" (or "smp" and the instance's eight digits) and the pod address's place in the node's range in base 36.
type names struct{ instance string }

func (n names) prefix() string {
	if n.instance == "" {
		return "smp-"
	}
	return "smp" + n.instance
}

// gateway is the link that carries the node's gateway address. As a place it would be beyond any range that fits.
func (n names) gateway() string { return n.prefix() + "gw00" }

func (n names) pod(cidr netip.Prefix, addr netip.Addr) string {
	return n.prefix() + strconv.FormatUint(offset(cidr, addr), 36)
}

// owns tells whether a link is this instance's.
func (n names) owns(link string) bool {
	rest, ok := strings.CutPrefix(link, n.prefix())
	return ok && rest != "" && len(rest) <= 4
}

func (n names) table() string {
	if n.instance == "" {
		return "sampan-network"
	}
	return "sampan-network-" + n.instance
}

// metric is the priority of the instance's routes, different for each instance, so that they can be told apart.
func (n names) metric() int {
	return 1<<20 + int(crc32.ChecksumIEEE([]byte(n.instance))>>12)
}

// podMAC is the hardware address of a pod, made from its address (the convention of CNI's plugins).
func podMAC(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x0a, 0x58, b[0], b[1], b[2], b[3]}
}

// offset is addr's place in cidr, 0 for its first address.
func offset(cidr netip.Prefix, addr netip.Addr) uint64 {
	return toUint(addr) - toUint(cidr.Masked().Addr())
}

func at(cidr netip.Prefix, off uint64) netip.Addr {
	v := uint32(toUint(cidr.Masked().Addr()) + off)
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func toUint(a netip.Addr) uint64 {
	b := a.As4()
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}

// Gateway is the node's own address in its pod range: the first after the network's. Pods see what the node itself sends
// them come from there, and node DNS listens there.
func Gateway(podCIDR netip.Prefix) netip.Addr { return at(podCIDR, 1) }
