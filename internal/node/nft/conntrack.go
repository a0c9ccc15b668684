package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Flow is what a tracked UDP flow was before translation (To, Port) and the endpoint it was sent to (Endpoint). Zero
// fields match everything.
type Flow struct {
	To       netip.Addr
	Port     uint16
	Endpoint netip.Addr
}

// Of the kernel's linux/netfilter/nfnetlink_conntrack.h.
const (
	ctGet, ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1, unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

	ctTupleOrig, ctTupleReply, ctID, ctZone, ctFilter = 1, 2, 12, 18, 25
	ctTupleIP, ctTupleProto                           = 1, 2
	ctIPv4Src, ctIPv4Dst, ctIPv6Src, ctIPv6Dst        = 1, 2, 3, 4
	ctProtoNum, ctProtoDstPort                        = 1, 3
	ctFilterOrig                                      = 1

	byProtoNum, byDstPort = 1 << 3, 1 << 5 // what a filter looks at
)

// ForgetUDP ends the tracked UDP flows that match any of flows, so that their next packets meet the rules anew. It takes
// milliseconds however few flows there are: the kernel walks its whole table, though it only tells of what might match.
func ForgetUDP(v6 bool, flows []Flow) error {
	if len(flows) == 0 {
		return nil
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	defer conn.Close()
	header := []byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}
	if v6 {
		header[0] = unix.AF_INET6
	}
	filter, err := udpTo(commonPort(flows))
	if err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	dump := netlink.Message{Header: netlink.Header{Type: ctGet, Flags: netlink.Request | netlink.Dump}, Data: append(header[:4:4], filter...)}
	tracked, err := conn.Execute(dump)
	if err != nil {
		return fmt.Errorf("list conntrack: %w", err)
	}
	var failed error
	for _, m := range tracked {
		name, ok := match(m.Data, flows)
		if !ok {
			continue
		}
		del := netlink.Message{Header: netlink.Header{Type: ctDelete, Flags: netlink.Request | netlink.Acknowledge}, Data: append(header[:4:4], name...)}
		if _, err := conn.Execute(del); err != nil && !errors.Is(err, unix.ENOENT) {
			failed = fmt.Errorf("forget a flow: %w", err)
		}
	}
	return failed
}

// ForgetUDPPort ends the tracked UDP flows to a port.
func ForgetUDPPort(port uint16) error { return ForgetUDP(false, []Flow{{Port: port}}) }

// commonPort is the port that all flows go to, or 0.
func commonPort(flows []Flow) uint16 {
	for _, f := range flows {
		if f.Port != flows[0].Port {
			return 0
		}
	}
	return flows[0].Port
}

// udpTo are the attributes that make the kernel (from 5.8; others tell everything) filter a listing by protocol and port.
func udpTo(port uint16) ([]byte, error) {
	flags := uint32(byProtoNum)
	if port != 0 {
		flags |= byDstPort
	}
	e := netlink.NewAttributeEncoder()
	e.Nested(ctFilter, func(e *netlink.AttributeEncoder) error { e.Uint32(ctFilterOrig, flags); return nil })
	e.Nested(ctTupleOrig, func(e *netlink.AttributeEncoder) error {
		e.Nested(ctTupleProto, func(e *netlink.AttributeEncoder) error {
			e.ByteOrder = binary.BigEndian
			e.Uint8(ctProtoNum, unix.IPPROTO_UDP)
			if port != 0 {
				e.Uint16(ctProtoDstPort, port)
			}
			return nil
		})
		return nil
	})
	return e.Encode()
}

// match tells whether a message of a listing is of one of flows, and by which attributes the kernel knows it.
func match(data []byte, flows []Flow) (name []byte, ok bool) {
	if len(data) < 4 {
		return nil, false
	}
	ad, err := netlink.NewAttributeDecoder(data[4:])
	if err != nil {
		return nil, false
	}
	var orig, reply tuple
	e := netlink.NewAttributeEncoder()
	for ad.Next() {
		switch ad.Type() {
		case ctTupleOrig:
			e.Bytes(unix.NLA_F_NESTED|ctTupleOrig, ad.Bytes())
			ad.Nested(orig.decode)
		case ctTupleReply:
			ad.Nested(reply.decode)
		case ctID, ctZone:
			e.Bytes(ad.Type(), ad.Bytes())
		}
	}
	if name, err = e.Encode(); err != nil || ad.Err() != nil || orig.proto != unix.IPPROTO_UDP {
		return nil, false
	}
	for _, f := range flows {
		if (f.Port == 0 || f.Port == orig.port) && (!f.To.IsValid() || f.To == orig.dst) && (!f.Endpoint.IsValid() || f.Endpoint == reply.src) {
			return name, true
		}
	}
	return nil, false
}

// tuple is one direction of a flow; port is the destination's.
type tuple struct {
	src, dst netip.Addr
	proto    uint8
	port     uint16
}

func (t *tuple) decode(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case ctTupleIP:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					a, _ := netip.AddrFromSlice(ad.Bytes())
					switch ad.Type() {
					case ctIPv4Src, ctIPv6Src:
						t.src = a
					case ctIPv4Dst, ctIPv6Dst:
						t.dst = a
					}
				}
				return ad.Err()
			})
		case ctTupleProto:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				ad.ByteOrder = binary.BigEndian
				for ad.Next() {
					switch ad.Type() {
					case ctProtoNum:
						t.proto = ad.Uint8()
					case ctProtoDstPort:
						t.port = ad.Uint16()
					}
				}
				return ad.Err()
			})
		}
	}
	return ad.Err()
}
