package nft

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/node/netnstest"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// whoami serves TCP and UDP on a port inside a namespace: the answer is its name and the address of who asks.
func whoami(t *testing.T, ns, name string, port int) {
	t.Helper()
	netnstest.In(t, ns, func() error {
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		pc, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
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
				fmt.Fprintf(c, "%s %s", name, host(c.RemoteAddr()))
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
				_, _ = pc.WriteTo([]byte(name+" "+host(from)), from)
			}
		}()
		return nil
	})
}

func host(a net.Addr) string {
	h, _, _ := net.SplitHostPort(a.String())
	return h
}

// Patience is for what must come, also on a machine with much else to do; a moment is for what must not come.
const (
	patience = time.Minute
	moment   = 500 * time.Millisecond
)

// ask dials from a namespace ("" is the node) and returns who answered and whom it saw.
func ask(t *testing.T, ns, network, addr string) (name, saw string, err error) {
	t.Helper()
	return askFor(t, patience, ns, network, addr)
}

func askFor(t *testing.T, limit time.Duration, ns, network, addr string) (name, saw string, err error) {
	t.Helper()
	do := func() error {
		c, e := net.DialTimeout(network, addr, limit)
		if e != nil {
			err = e
			return nil
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(limit))
		if network == "udp" {
			_, _ = c.Write([]byte("?"))
		}
		buf := make([]byte, 100)
		n, e := c.Read(buf)
		name, saw, _ = strings.Cut(string(buf[:n]), " ")
		err = e
		return nil
	}
	if ns == "" {
		_ = do()
	} else {
		netnstest.In(t, ns, do)
	}
	return name, saw, err
}

// machine makes a namespace joined to the node by a routed link, as pods are; gw is the node's address on that link.
func machine(t *testing.T, link, addr, gw string) string {
	t.Helper()
	ns := netnstest.New(t)
	h, err := netns.GetFromPath(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = link
	v := netlink.NewVeth(attrs)
	v.PeerName, v.PeerNamespace = "eth0", netlink.NsFd(int(h))
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(v) })
	join(t, link, gw, addr)
	netnstest.In(t, ns, func() error {
		join(t, "lo", "", "")
		join(t, "eth0", addr, gw)
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		_, all, _ := net.ParseCIDR("0.0.0.0/0")
		return netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: all, Gw: net.ParseIP(gw).To4()})
	})
	return ns
}

func join(t *testing.T, link, addr, peer string) {
	t.Helper()
	l, err := netlink.LinkByName(link)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err == nil && addr != "" {
		err = netlink.AddrReplace(l, &netlink.Addr{IPNet: one(addr), Peer: one(peer)})
	}
	if err != nil {
		t.Fatal(link, err)
	}
}

func one(ip string) *net.IPNet {
	return &net.IPNet{IP: net.ParseIP(ip).To4(), Mask: net.CIDRMask(32, 32)}
}
