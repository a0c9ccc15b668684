package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/node/netnstest"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// whoami serves TCP and UDP on addr inside a namespace: the answer is the address of who asks.
func whoami(t *testing.T, ns string, port int) {
	t.Helper()
	netnstest.In(t, ns, func() error {
		l, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		pc, err := net.ListenPacket("udp", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { pc.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte(host(c.RemoteAddr())))
				c.Close()
			}
		}()
		go func() {
			buf := make([]byte, 100)
			for {
				_, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = pc.WriteTo([]byte(host(from)), from)
			}
		}()
		return nil
	})
}

func host(a net.Addr) string {
	h, _, _ := net.SplitHostPort(a.String())
	return h
}

// ask dials and returns what whoami says.
func ask(network, addr string) (string, error) {
	c, err := net.DialTimeout(network, addr, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if network == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return "", err
		}
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func expect(t *testing.T, ns, network, addr, want string) {
	t.Helper()
	do := func() error {
		got, err := ask(network, addr)
		if err != nil {
			return fmt.Errorf("%s %s: %w", network, addr, err)
		}
		if want != "" && got != want {
			return fmt.Errorf("%s %s: came from %s, want %s", network, addr, got, want)
		}
		return nil
	}
	if ns == "" {
		if err := do(); err != nil {
			t.Error(err)
		}
		return
	}
	netnstest.In(t, ns, do)
}

// outside makes a namespace beyond the node, joined by a link; the node has 192.0.2.1 there, it has 192.0.2.2.
func outside(t *testing.T) string {
	t.Helper()
	ns := netnstest.New(t)
	h, err := netns.GetFromPath(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags, attrs.MTU = "uplink0", net.FlagUp, 1400
	v := netlink.NewVeth(attrs)
	v.PeerName, v.PeerNamespace = "eth0", netlink.NsFd(int(h))
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatal(err)
	}
	address(t, "uplink0", "192.0.2.1/24")
	netnstest.In(t, ns, func() error {
		address(t, "eth0", "192.0.2.2/24")
		return nil
	})
	def := &netlink.Route{LinkIndex: index(t, "uplink0"), Dst: everywhere(), Gw: net.ParseIP("192.0.2.2").To4()}
	if err := netlink.RouteReplace(def); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = delLink(mustHandle(t), "uplink0") })
	return ns
}

func address(t *testing.T, link, cidr string) {
	t.Helper()
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := netlink.ParseAddr(cidr)
	if err := errors.Join(netlink.AddrReplace(l, a), netlink.LinkSetUp(l)); err != nil {
		t.Fatal(err)
	}
}

func index(t *testing.T, link string) int {
	t.Helper()
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}

func mustHandle(t *testing.T) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandle()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// traces are what an instance has in this namespace: links, routes, tables.
func traces(t *testing.T, n names) []string {
	t.Helper()
	var out []string
	h := mustHandle(t)
	links, err := h.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "smp") {
			out = append(out, l.Attrs().Name)
		}
	}
	routes, err := listRoutes(h, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		out = append(out, r.String())
	}
	return out
}

var testRange = netip.MustParsePrefix("10.244.3.0/24")
