package announce

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// onlySolicitations lets neighbor solicitations pass: next header 58 of IPv6, type 135 behind it.
var onlySolicitations = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: etherLen + 6},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nextICMPv6, Jf: 3},
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: etherLen + ipv6Len},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: solicitation, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// open opens a packet socket of a link that gets the frames which ask for addresses of one family, and sends any.
func open(index int, v6 bool) (_ *os.File, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	protocol := uint16(etherARP)
	if v6 {
		protocol = etherIPv6
		filter := unix.SockFprog{Len: uint16(len(onlySolicitations)), Filter: &onlySolicitations[0]}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
			return nil, fmt.Errorf("filter of a packet socket: %w", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(protocol), Ifindex: index}); err != nil {
		return nil, fmt.Errorf("bind a packet socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "packet"), nil
}

// networkOrder is the number whose bytes in memory are those of v in network order.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// groups is a socket that is a member of the groups in which addresses of IPv6 are asked for, so that switches and the link hand on what
// is sent there.
type groups struct{ fd int }

// joinGroups joins those of some addresses. With an error it is a member of those that it could join.
func joinGroups(index int, addrs []netip.Addr) (*groups, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	joined := map[netip.Addr]bool{}
	for _, a := range addrs {
		group := solicitedNode(a)
		if joined[group] {
			continue
		}
		joined[group] = true
		if e := unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(index)}); e != nil {
			err = fmt.Errorf("join %s: %w", group, e)
		}
	}
	return &groups{fd}, err
}

func (g *groups) close() {
	if g != nil {
		_ = unix.Close(g.fd)
	}
}
