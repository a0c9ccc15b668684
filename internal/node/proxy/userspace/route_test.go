package userspace

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"sampan.dev/internal/node/netnstest"
	"sampan.dev/internal/node/proxy"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ClusterIPs become the machine's own while there are Services, of both families; what an earlier proxy left goes; what
// another instance has stays.
func TestAddresses(t *testing.T) {
	netnstest.Need(t)
	left, others := netip.MustParseAddr("10.96.9.9"), netip.MustParseAddr("10.97.0.1")
	for a, r := range map[netip.Addr]routes{left: newRoutes("", false), others: newRoutes("0badcafe", false)} {
		if err := r.add(a); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		addr string
		v6   bool
	}{{"10.96.0.1", false}, {"fd00:96::1", true}} {
		t.Run(c.addr, func(t *testing.T) {
			w := run(t, Config{V6: c.v6})
			ip := netip.MustParseAddr(c.addr)
			tcp, udp := proxy.Key{Addr: ip, Proto: unix.IPPROTO_TCP, Port: 80}, proxy.Key{Addr: ip, Proto: unix.IPPROTO_UDP, Port: 53}
			all := &proxy.Delta{AddClusterIPs: []netip.Addr{ip}, Changes: map[proxy.Key]proxy.Change{
				tcp: {New: backends(tcpBackend(t, "a"))}, udp: {New: backends(udpBackend(t, "b"))}}}
			if err := w.Reset(all); err != nil {
				t.Fatal(err)
			}
			conn, _ := hello(t, netip.AddrPortFrom(ip, 80))
			c, err := net.Dial("udp", netip.AddrPortFrom(ip, 53).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := ask(t, c, "1"); got != "b:1" {
				t.Errorf("got %q", got)
			}
			if err := w.Reset(all); err != nil { // breaks nothing
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if got, err := w.routes.list(); err != nil || !slices.Equal(got, []netip.Addr{ip}) {
				t.Errorf("addresses %v, %v", got, err)
			}
			w.say(map[proxy.Key]*proxy.Entry{tcp: nil})
			if got, _ := w.routes.list(); len(got) != 1 {
				t.Errorf("addresses %v while there is a port left", got)
			}
			w.say(map[proxy.Key]*proxy.Entry{udp: nil})
			if got, _ := w.routes.list(); len(got) != 0 {
				t.Errorf("addresses %v without Services", got)
			}
			w.say(map[proxy.Key]*proxy.Entry{tcp: backends(tcpBackend(t, "c"))})
			w.end()
			if got, _ := w.routes.list(); len(got) != 0 || len(w.heard()) != 0 {
				t.Errorf("addresses %v after the end; told %v", got, w.heard())
			}
		})
	}
	t.Run("not a ClusterIP", func(t *testing.T) { notOurs(t) })
	if got, _ := newRoutes("0badcafe", false).list(); !slices.Equal(got, []netip.Addr{others}) {
		t.Errorf("another instance has %v", got)
	}
	if err := Cleanup("0badcafe"); err != nil {
		t.Error(err)
	}
	if got, _ := newRoutes("0badcafe", false).list(); len(got) != 0 {
		t.Errorf("%v is left", got)
	}
}

// An address that may be another node's is never made this one's, since all of its ports would go with it; once it is this
// node's, it is listened at.
func notOurs(t *testing.T) {
	w := run(t, Config{})
	ip := netip.MustParseAddr("198.51.100.7")
	k := proxy.Key{Addr: ip, Proto: unix.IPPROTO_TCP, Port: 80}
	if err := w.Reset(&proxy.Delta{Changes: map[proxy.Key]proxy.Change{k: {New: backends(tcpBackend(t, "a"))}}}); err != nil {
		t.Fatal(err)
	}
	if got, _ := w.routes.list(); len(got)+len(w.heard())+w.sockets() != 0 {
		t.Errorf("made its own: %v, told %v, %d sockets", got, w.heard(), w.sockets())
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(32, 32)}}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.AddrAdd(lo, addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.AddrDel(lo, addr) })
	w.retry()
	hello(t, netip.AddrPortFrom(ip, 80))
}
