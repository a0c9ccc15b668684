package announce

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
)

// Ethernet and ARP, as far as they are needed.
const (
	etherLen  = 14
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	arpLen     = 28
	arpRequest = 1
	arpReply   = 2
)

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// station is a link as a sender: its hardware address and its IPv6 link-local address, the zero Addr where it has none.
type station struct {
	mac       net.HardwareAddr
	linkLocal netip.Addr
}

// answer is the frame that answers another one, an ARP request or a neighbor solicitation for an address that is mine; nil for any other.
func (s station) answer(frame []byte, mine func(netip.Addr) bool) []byte {
	if len(frame) < etherLen || bytes.Equal(frame[6:12], s.mac) {
		return nil
	}
	switch binary.BigEndian.Uint16(frame[12:14]) {
	case etherARP:
		return s.answerARP(frame[etherLen:], mine)
	case etherIPv6:
		return s.answerNDP(frame, mine)
	}
	return nil
}

func (s station) answerARP(p []byte, mine func(netip.Addr) bool) []byte {
	// Ethernet and IPv4, six and four bytes long, and a request.
	if len(p) < arpLen || !bytes.Equal(p[:8], []byte{0, 1, 8, 0, 6, 4, 0, arpRequest}) {
		return nil
	}
	target := netip.AddrFrom4([4]byte(p[24:28]))
	if !mine(target) {
		return nil
	}
	asker := net.HardwareAddr(p[8:14])
	return s.arp(asker, arpReply, target, asker, netip.AddrFrom4([4]byte(p[14:18])))
}

// arp makes a frame that says that this station has an address.
func (s station) arp(to net.HardwareAddr, op byte, has netip.Addr, target net.HardwareAddr, targetIP netip.Addr) []byte {
	out := make([]byte, 0, etherLen+arpLen)
	out = append(append(out, to...), s.mac...)
	out = append(out, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, op)
	out = append(append(out, s.mac...), has.AsSlice()...)
	return append(append(out, target...), targetIP.AsSlice()...)
}

// tidings are the frames that tell all of a link, asked or not, that an address is reached here from now on: for IPv4 a gratuitous request and
// a gratuitous reply, since there are systems that heed one of them only.
func (s station) tidings(a netip.Addr) [][]byte {
	if a.Is6() {
		return [][]byte{s.advertise(a, allNodesMAC, allNodes, false)}
	}
	none := make(net.HardwareAddr, 6)
	return [][]byte{s.arp(broadcast, arpRequest, a, none, a), s.arp(broadcast, arpReply, a, broadcast, a)}
}

func (s station) equal(o station) bool {
	return bytes.Equal(s.mac, o.mac) && s.linkLocal == o.linkLocal
}
