package announce

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/node/netnstest"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// lan is a bridge in the test's namespace, with a machine in a namespace of its own at each port.
type lan struct {
	*testing.T
	bridge netlink.Link
	ports  int
}

func newLAN(t *testing.T) *lan {
	netnstest.Need(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan" + fmt.Sprint(time.Now().UnixNano()%1e6)
	must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	b, err := netlink.LinkByName(attrs.Name)
	must(t, err)
	must(t, netlink.LinkSetUp(b))
	t.Cleanup(func() { _ = netlink.LinkDel(b) })
	return &lan{T: t, bridge: b}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// machine adds one with an address of each family, and returns its namespace and its hardware address.
func (l *lan) machine(t *testing.T, v4, v6 string) (ns string, mac net.HardwareAddr) {
	t.Helper()
	l.ports++
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = fmt.Sprintf("%s-%d", l.bridge.Attrs().Name, l.ports), l.bridge.Attrs().Index
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer0"}))
	peer, err := netlink.LinkByName("peer0")
	must(t, err)
	port, err := netlink.LinkByName(attrs.Name)
	must(t, err)
	must(t, netlink.LinkSetUp(port))
	ns = netnstest.New(t)
	h, err := netns.GetFromPath(ns)
	must(t, err)
	defer h.Close()
	must(t, netlink.LinkSetNsFd(peer, int(h)))
	netnstest.In(t, ns, func() error {
		eth, err := netlink.LinkByName("peer0")
		if err != nil {
			return err
		}
		mac = eth.Attrs().HardwareAddr
		for _, a := range []string{v4, v6} {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			addr.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(eth, addr); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(eth)
	})
	return ns, mac
}

// announces runs an announcer in a namespace until the test ends.
func announces(t *testing.T, ns string, cut func() bool) *Announcer {
	t.Helper()
	a := New(cut, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // whose namespace is changed; it ends with the goroutine
		h, err := netns.GetFromPath(ns)
		if err == nil {
			defer h.Close()
			err = netns.Set(h)
		}
		if err == nil {
			err = a.Run(ctx)
		}
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a
}

// resolves reports whom a machine takes for the holder of an address: it sends something there and looks what its kernel has found out.
func resolves(t *testing.T, ns string, a netip.Addr, want net.HardwareAddr) {
	t.Helper()
	var last string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var got net.HardwareAddr
		netnstest.In(t, ns, func() error {
			if c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9))); err == nil {
				_, _ = c.Write([]byte("x"))
				c.Close()
			}
			list, err := netlink.NeighList(0, 0)
			for _, n := range list {
				if n.IP.Equal(a.AsSlice()) && n.State&(unix.NUD_REACHABLE|unix.NUD_STALE|unix.NUD_DELAY|unix.NUD_PROBE) != 0 {
					got = n.HardwareAddr
				}
			}
			return err
		})
		if last = got.String(); last == want.String() {
			return
		}
	}
	t.Fatalf("%s is at %q, want %q", a, last, want)
}

// A client finds an address at the node that announces it, by ARP and by neighbor discovery, and follows it to another node, without asking
// again, when that begins to announce it.
func TestAnnounce(t *testing.T) {
	l := newLAN(t)
	client, _ := l.machine(t, "192.0.2.1/24", "fd00::1/64")
	one, oneMAC := l.machine(t, "192.0.2.2/24", "fd00::2/64")
	two, twoMAC := l.machine(t, "192.0.2.3/24", "fd00::3/64")
	var cut atomic.Bool
	a, b := announces(t, one, cut.Load), announces(t, two, func() bool { return false })
	vips := []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("fd00::10")}
	a.Set(vips)
	for _, vip := range vips {
		resolves(t, client, vip, oneMAC)
	}
	cut.Store(true) // it does not hear that it is another's turn, and says nothing by itself
	b.Set(vips)
	for _, vip := range vips {
		resolves(t, client, vip, twoMAC)
	}
	forget(t, client, vips)
	for _, vip := range vips {
		resolves(t, client, vip, twoMAC)
	}
	b.Set(nil)
	cut.Store(false)
	a.HostChanged()
	forget(t, client, vips)
	for _, vip := range vips {
		resolves(t, client, vip, oneMAC)
	}
	// A link that goes and comes back is listened to again.
	netnstest.In(t, one, func() error {
		eth, err := netlink.LinkByName("peer0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetDown(eth); err != nil {
			return err
		}
		return netlink.LinkSetUp(eth)
	})
	a.HostChanged()
	forget(t, client, vips[:1])
	resolves(t, client, vips[0], oneMAC)
}

// forget empties a machine's memory of who has addresses.
func forget(t *testing.T, ns string, addrs []netip.Addr) {
	t.Helper()
	netnstest.In(t, ns, func() error {
		list, err := netlink.NeighList(0, 0)
		for _, n := range list {
			for _, a := range addrs {
				if n.IP.Equal(a.AsSlice()) {
					_ = netlink.NeighDel(&n)
				}
			}
		}
		return err
	})
}
