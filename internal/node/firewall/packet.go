package firewall

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Hook is a place in the kernel's way of a packet, by its netfilter number.
type Hook uint32

// The hooks of IPv4 and inet tables.
const (
	Prerouting  Hook = unix.NF_INET_PRE_ROUTING
	Input       Hook = unix.NF_INET_LOCAL_IN
	Forward     Hook = unix.NF_INET_FORWARD
	Output      Hook = unix.NF_INET_LOCAL_OUT
	Postrouting Hook = unix.NF_INET_POST_ROUTING
)

// Packet is a sample of what pods need to get through, as it looks at one hook.
type Packet struct {
	Hook    Hook
	What    string // for people
	In, Out string // links; "" where there is none at the hook
	Src     netip.Addr
	Dst     netip.Addr
	Proto   uint8
	SrcPort uint16
	DstPort uint16
	Answer  bool // of an established connection, towards who opened it
	DNAT    bool // its destination was translated
}

// Sample is what samples are made of: a node, as far as packets show it.
type Sample struct {
	Links  []string   // prefixes of the names of links whose traffic is ours; the first is the pods'
	Node   netip.Addr // the address that pods reach the node and its DNS at
	Pod    netip.Addr // some address of the node's pod range
	Uplink string     // the link to the world
}

// world is an address that is nobody's (RFC 5737): a rule that names a destination does not name this one.
var world = netip.MustParseAddr("203.0.113.77")

// packets are the samples of a node: a new connection and an answer of everything that Kubernetes promises pods.
func (s Sample) packets() []Packet {
	var out []Packet
	for _, link := range s.Links {
		out = append(out, s.of(link+"x")...)
	}
	return out
}

func (s Sample) of(link string) []Packet {
	const tcp, udp = unix.IPPROTO_TCP, unix.IPPROTO_UDP
	const any = 45678 // a client's port
	other := s.Pod.Next()
	out := []Packet{
		{Forward, "from pods to services", link, link, s.Pod, other, tcp, any, 8080, false, true},
		{Forward, "from pods to pods", link, link, s.Pod, other, udp, any, 8080, false, false},
		{Forward, "from pods to other hosts", link, s.Uplink, s.Pod, world, tcp, any, 443, false, false},
		{Forward, "from pods to other hosts", link, s.Uplink, s.Pod, world, udp, any, 123, false, false},
		{Forward, "of other hosts' answers to pods", s.Uplink, link, world, s.Pod, tcp, 443, any, true, false},
		{Forward, "from other hosts to services", s.Uplink, link, world, s.Pod, tcp, any, 8080, false, true},
		{Forward, "of pods' answers to other hosts", link, s.Uplink, s.Pod, world, tcp, 8080, any, true, true},
		{Input, "from pods to DNS", link, "", s.Pod, s.Node, udp, any, 53, false, true},
		{Input, "from pods to DNS", link, "", s.Pod, s.Node, tcp, any, 53, false, true},
		{Input, "from pods to the API server", link, "", s.Pod, s.Node, tcp, any, 6443, false, true},
		{Input, "from pods to the kubelet", link, "", s.Pod, s.Node, tcp, any, 10250, false, false},
		{Input, "of pods' answers to the node", link, "", s.Pod, s.Node, tcp, 8080, any, true, false},
		{Output, "from the node to pods", "", link, s.Node, s.Pod, tcp, any, 8080, false, false},
		{Output, "of the node's answers to pods", "", link, s.Node, s.Pod, udp, 53, any, true, true},
	}
	for _, p := range out[:len(out):len(out)] {
		if p.In == link { // also before routing and after it
			q := p
			q.Hook, q.Out = Prerouting, ""
			out = append(out, q)
		}
		if p.Out == link {
			q := p
			q.Hook, q.In = Postrouting, ""
			out = append(out, q)
		}
	}
	return out
}
