package userspace

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// standing is why one can listen at an address.
type standing uint8

const (
	native    standing = iota // it is one of the machine's anyhow
	ours                      // a route of ours makes it so
	standIn                   // it is not; an address in 127/8 stands for it
	elsewhere                 // one cannot: it is not, and nothing stands for it
)

// listenAt is where the sockets for an address listen. A ClusterIP of 10.96.0.10 that cannot be made the machine's own is
// listened for at 127.96.0.10. The zero Addr is all addresses, for node ports.
func listenAt(a netip.Addr, s standing, v6 bool) netip.Addr {
	switch {
	case !a.IsValid() && v6:
		return netip.IPv6Unspecified()
	case !a.IsValid():
		return netip.IPv4Unspecified()
	case s == standIn:
		b := a.As4()
		b[0] = 127
		return netip.AddrFrom4(b)
	}
	return a
}

// canStandIn tells whether an address has a place in 127/8: it is of IPv4, and its place is not among the addresses that
// programs of the machine use themselves.
func canStandIn(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	b := a.As4()
	return b[1] != 0 || b[2] != 0
}

// isNative tells whether sockets can listen at an address as things are.
func isNative(a netip.Addr) (bool, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err == nil {
		_ = c.Close()
		return true, nil
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return false, nil
	}
	return false, err
}

// binding makes sockets that listen at addresses which are the machine's by a route alone: IPv6 looks for an address.
var binding = net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
	if !slices.Contains([]string{"tcp6", "udp6"}, network) {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
	})
	return errors.Join(err, failed)
}}

func listenTCP(at netip.AddrPort) (*net.TCPListener, error) {
	l, err := binding.Listen(context.Background(), "tcp"+family(at.Addr()), at.String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

func listenUDP(at netip.AddrPort) (*net.UDPConn, error) {
	c, err := binding.ListenPacket(context.Background(), "udp"+family(at.Addr()), at.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

func family(a netip.Addr) string {
	if a.Is6() {
		return "6"
	}
	return "4"
}

// ownAddress tells whether an address is one of this machine's links'.
func ownAddress(a netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(x net.Addr) bool {
		n, ok := x.(*net.IPNet)
		return ok && n.IP.Equal(net.IP(a.AsSlice()))
	})
}
