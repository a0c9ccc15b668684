package userspace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"sampan.dev/internal/node/proxy"

	"golang.org/x/sys/unix"
)

// Why a port is not listened at. The first does not change; the second is as it should be on all nodes but the address's own.
var (
	errSCTP      = errors.New("SCTP is not forwarded in userspace")
	errElsewhere = errors.New("the address is not this node's")
)

// listen opens the socket of a key.
func (a *Applier) listen(k proxy.Key, bal *balancer) (server, error) {
	if k.Proto == unix.IPPROTO_SCTP {
		return nil, errSCTP
	}
	at := listenAt(k.Addr, native, a.cfg.V6)
	if k.Addr.IsValid() {
		s := a.holds.standing(k.Addr)
		if s == elsewhere {
			return nil, errElsewhere
		}
		at = listenAt(k.Addr, s, a.cfg.V6)
	}
	if k.Proto == unix.IPPROTO_UDP {
		c, err := listenUDP(netip.AddrPortFrom(at, k.Port))
		if err != nil {
			return nil, err
		}
		f := &udpFront{c: c, any: !k.Addr.IsValid(), v6: a.cfg.V6, bal: bal, near: a.near, wg: a.wg, log: a.log, idle: usualIdle}
		if err := f.prepare(); err != nil {
			f.close()
			return nil, err
		}
		return f, nil
	}
	l, err := listenTCP(netip.AddrPortFrom(at, k.Port))
	if err != nil {
		return nil, err
	}
	return &tcpFront{l: l, bal: bal, near: a.near, life: a.life, wg: a.wg, log: a.log}, nil
}

// near tells whether a client is a pod, or this node itself, to which externalTrafficPolicy Local does not apply. A
// connection of the node's to an address of its own may have that address at both ends.
func (a *Applier) near(from, to netip.Addr) bool {
	return from == to || from.IsLoopback() || slices.ContainsFunc(a.cfg.Pods, func(p netip.Prefix) bool { return p.Contains(from) }) || ownAddress(from)
}

// name is a key for people: "10.96.0.10:53/UDP", "node port 30080/TCP".
func name(k proxy.Key) string {
	proto := map[uint8]string{unix.IPPROTO_TCP: "TCP", unix.IPPROTO_UDP: "UDP", unix.IPPROTO_SCTP: "SCTP"}[k.Proto]
	if !k.Addr.IsValid() {
		return fmt.Sprintf("node port %d/%s", k.Port, proto)
	}
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(k.Addr, k.Port), proto)
}
