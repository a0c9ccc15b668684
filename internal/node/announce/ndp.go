package announce

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
)

// IPv6 and neighbor discovery, as far as they are needed.
const (
	ipv6Len       = 40
	nextICMPv6    = 58
	hopLimit      = 255 // what a router has handed on has less, and is not heeded
	solicitation  = 135
	advertisement = 136
	messageLen    = 24 // type, code, checksum, flags, target

	sourceOption = 1 // link-layer addresses
	targetOption = 2

	solicited = 0x40
	override  = 0x20
)

var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
)

// solicitedNode is the group in which a station listens that has an address.
func solicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

func (s station) answerNDP(frame []byte, mine func(netip.Addr) bool) []byte {
	p := frame[etherLen:]
	if len(p) < ipv6Len+messageLen || p[0]>>4 != 6 || p[6] != nextICMPv6 || p[7] != hopLimit {
		return nil
	}
	size := int(binary.BigEndian.Uint16(p[4:6]))
	if size < messageLen || len(p) < ipv6Len+size {
		return nil
	}
	m := p[ipv6Len : ipv6Len+size]
	from, to := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	target := netip.AddrFrom16([16]byte(m[8:24]))
	if m[0] != solicitation || m[1] != 0 || target.IsMulticast() || checksum(from, to, m) != 0 || !mine(target) {
		return nil
	}
	if from.IsUnspecified() { // somebody wants to have the address, and learns that it is taken
		return s.advertise(target, allNodesMAC, allNodes, false)
	}
	asker := net.HardwareAddr(frame[6:12])
	if o := option(m[messageLen:], sourceOption); o != nil {
		asker = o
	}
	return s.advertise(target, asker, from, true)
}

// option finds a link-layer address among options; nil when it is not there.
func option(o []byte, kind byte) net.HardwareAddr {
	for len(o) >= 8 {
		size := int(o[1]) * 8
		if size == 0 || size > len(o) {
			return nil
		}
		if o[0] == kind && size == 8 {
			return net.HardwareAddr(o[2:8])
		}
		o = o[size:]
	}
	return nil
}

// advertise makes a neighbor advertisement that says that this station has an address.
func (s station) advertise(has netip.Addr, mac net.HardwareAddr, to netip.Addr, asked bool) []byte {
	from := s.linkLocal
	if !from.IsValid() {
		from = has
	}
	m := make([]byte, 0, messageLen+8)
	flags := byte(override)
	if asked {
		flags |= solicited
	}
	m = append(m, advertisement, 0, 0, 0, flags, 0, 0, 0)
	m = append(m, has.AsSlice()...)
	m = append(append(m, targetOption, 1), s.mac...)
	binary.BigEndian.PutUint16(m[2:], checksum(from, to, m))

	out := make([]byte, 0, etherLen+ipv6Len+len(m))
	out = append(append(out, mac...), s.mac...)
	out = append(out, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(m)), nextICMPv6, hopLimit)
	out = append(append(out, from.AsSlice()...), to.AsSlice()...)
	return append(out, m...)
}

// checksum is that of an ICMPv6 message (RFC 4443, 2.3): of one that has it already, 0.
func checksum(from, to netip.Addr, m []byte) uint16 {
	var b bytes.Buffer
	b.Write(from.AsSlice())
	b.Write(to.AsSlice())
	b.Write([]byte{0, 0, byte(len(m) >> 8), byte(len(m)), 0, 0, 0, nextICMPv6})
	b.Write(m)
	if b.Len()%2 == 1 {
		b.WriteByte(0)
	}
	var sum uint32
	for data := b.Bytes(); len(data) > 0; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
