package nft

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sampan.dev/internal/node/netnstest"
	"sampan.dev/internal/node/proxy"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rig is a node with two pods a and b and a client outside.
type rig struct {
	*Applier
	t             *testing.T
	rules         *proxy.Ruleset
	a, b, outside string // namespaces
	lost          atomic.Int32
}

func newRig(t *testing.T) *rig {
	t.Helper()
	netnstest.Need(t)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile("/proc/sys/net/ipv4/icmp_ratelimit", []byte("0"), 0o644)
	r := &rig{t: t, rules: proxy.NewRuleset(), Applier: New(Config{Instance: "0a1b2c3d", Pods: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}})}
	r.outside = machine(t, "world", "192.0.2.2", "192.0.2.1")
	l, _ := netlink.LinkByName("world")
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	if err := netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: all, Gw: net.ParseIP("192.0.2.2").To4()}); err != nil {
		t.Fatal(err)
	}
	r.a = machine(t, "pod-a", "10.244.0.2", "10.244.0.1")
	r.b = machine(t, "pod-b", "10.244.0.3", "10.244.0.1")
	whoami(t, r.a, "a", 8080)
	whoami(t, r.b, "b", 8080)
	all0 := r.rules.All()
	if err := r.Reset(&all0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, func() { r.lost.Add(1) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := Cleanup("0a1b2c3d"); err != nil {
			t.Error(err)
		}
		conn, _ := nftables.New()
		if tables, _ := conn.ListTables(); len(tables) > 0 {
			t.Errorf("left %s", tables[0].Name)
		}
	})
	return r
}

func (r *rig) set(name string, rules proxy.Rules) {
	r.t.Helper()
	r.rules.Set(name, rules)
	d := r.rules.Take()
	if err := r.Apply(&d); err != nil {
		r.t.Fatal(err)
	}
}

var (
	podA = netip.MustParseAddrPort("10.244.0.2:8080")
	podB = netip.MustParseAddrPort("10.244.0.3:8080")
	vip  = netip.MustParseAddr("10.96.0.10")
	ext  = netip.MustParseAddr("198.51.100.1")
)

func key(a netip.Addr, proto uint8, port uint16) proxy.Key {
	return proxy.Key{Addr: a, Proto: proto, Port: port}
}

func balance(m proxy.Masquerade, to ...netip.AddrPort) *proxy.Balance {
	return &proxy.Balance{Masquerade: m, Backends: to}
}

// service is a cluster address with TCP and UDP on port 80, and TCP node port 30080 and an external address.
func service(to ...netip.AddrPort) proxy.Rules {
	e := map[proxy.Key]proxy.Entry{}
	if len(to) == 0 {
		e[key(vip, unix.IPPROTO_TCP, 80)] = proxy.Entry{Refuse: proxy.Reject}
		e[key(vip, unix.IPPROTO_UDP, 80)] = proxy.Entry{Refuse: proxy.Reject}
		e[key(netip.Addr{}, unix.IPPROTO_TCP, 30080)] = proxy.Entry{Refuse: proxy.Reject}
		return proxy.Rules{Entries: e, ClusterIPs: []netip.Addr{vip}}
	}
	e[key(vip, unix.IPPROTO_TCP, 80)] = proxy.Entry{Front: balance(proxy.Strangers, to...)}
	e[key(vip, unix.IPPROTO_UDP, 80)] = proxy.Entry{Front: balance(proxy.Strangers, to...)}
	e[key(ext, unix.IPPROTO_TCP, 80)] = proxy.Entry{Front: balance(proxy.Everyone, to...)}
	e[key(netip.Addr{}, unix.IPPROTO_TCP, 30080)] = proxy.Entry{Front: balance(proxy.Everyone, to...)}
	r := proxy.Rules{Entries: e, ClusterIPs: []netip.Addr{vip}}
	for _, b := range to {
		r.Local = append(r.Local, b.Addr())
	}
	return r
}

// tally asks n times and counts who answered.
func (r *rig) tally(n int, ns, network, addr string) map[string]int {
	r.t.Helper()
	got := map[string]int{}
	for range n {
		name, _, err := ask(r.t, ns, network, addr)
		if err != nil {
			r.t.Fatalf("%s %s: %v", network, addr, err)
		}
		got[name]++
	}
	return got
}

func (r *rig) expect(ns, network, addr, wantName, wantSaw string) {
	r.t.Helper()
	name, saw, err := ask(r.t, ns, network, addr)
	if err != nil || wantName != "" && name != wantName || wantSaw != "" && saw != wantSaw {
		r.t.Errorf("%s %s from %q: %s saw %s (%v), want %s %s", network, addr, ns, name, saw, err, wantName, wantSaw)
	}
}

func (r *rig) refused(ns, network, addr string) {
	r.t.Helper()
	if _, _, err := ask(r.t, ns, network, addr); !errors.Is(err, syscall.ECONNREFUSED) {
		r.t.Errorf("%s %s from %q: %v, want connection refused", network, addr, ns, err)
	}
}

func (r *rig) silent(ns, network, addr string) {
	r.t.Helper()
	var ne net.Error
	if _, _, err := askFor(r.t, moment, ns, network, addr); !errors.As(err, &ne) || !ne.Timeout() {
		r.t.Errorf("%s %s from %q: %v, want a timeout", network, addr, ns, err)
	}
}

func TestServiceSpreads(t *testing.T) {
	r := newRig(t)
	r.set("ns/s", service(podA, podB))
	for _, c := range []struct{ ns, network, addr string }{
		{"", "tcp", "10.96.0.10:80"}, {r.a, "tcp", "10.96.0.10:80"}, {r.a, "udp", "10.96.0.10:80"},
		{r.outside, "tcp", "192.0.2.1:30080"}, {"", "tcp", "192.0.2.1:30080"}, {r.outside, "tcp", "198.51.100.1:80"},
	} {
		got := r.tally(40, c.ns, c.network, c.addr)
		if got["a"] < 8 || got["b"] < 8 || got["a"]+got["b"] != 40 {
			t.Errorf("%s %s from %q: %v", c.network, c.addr, c.ns, got)
		}
	}
}

func TestSourceAddresses(t *testing.T) {
	r := newRig(t)
	r.set("ns/s", service(podB))
	r.expect(r.a, "tcp", "10.96.0.10:80", "b", "10.244.0.2")       // pods are seen as they are
	r.expect(r.b, "tcp", "10.96.0.10:80", "b", "10.244.0.1")       // to itself: by way of the node
	r.expect(r.outside, "tcp", "10.96.0.10:80", "b", "10.244.0.1") // a stranger to a cluster address
	r.expect(r.outside, "tcp", "192.0.2.1:30080", "b", "10.244.0.1")
	r.expect(r.a, "tcp", "10.244.0.1:30080", "b", "10.244.0.1") // any address of the node
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	r.set("ns/s", service())
	for _, ns := range []string{"", r.a, r.outside} {
		r.refused(ns, "tcp", "10.96.0.10:80")
		r.refused(ns, "udp", "10.96.0.10:80")
		r.refused(ns, "tcp", "192.0.2.1:30080")
		r.refused(ns, "tcp", "10.96.0.10:81") // a port that no service has
	}
	r.set("ns/s", service(podA))
	r.expect(r.outside, "tcp", "192.0.2.1:30080", "a", "")
	r.refused("", "tcp", "10.96.0.10:81")
	r.set("ns/s", service())
	r.refused("", "tcp", "10.96.0.10:80")
}

func TestChanges(t *testing.T) {
	r := newRig(t)
	r.set("ns/s", service(podA, podB))
	r.set("ns/s", service(podB))
	if got := r.tally(10, r.a, "tcp", "10.96.0.10:80"); got["b"] != 10 {
		t.Errorf("after shrinking: %v", got)
	}
	r.set("ns/s", service(podA))
	if got := r.tally(10, r.a, "tcp", "192.0.2.1:30080"); got["a"] != 10 {
		t.Errorf("after a swap: %v", got)
	}
	all := r.rules.All()
	if err := r.Reset(&all); err != nil {
		t.Fatal(err)
	}
	r.expect("", "tcp", "10.96.0.10:80", "a", "")
	r.set("ns/s", proxy.Rules{})
	if _, _, err := ask(t, r.a, "tcp", "10.96.0.10:80"); err == nil {
		t.Error("a removed service answers")
	}
}

func TestExternalTrafficPolicyLocal(t *testing.T) {
	r := newRig(t)
	nodePort := key(netip.Addr{}, unix.IPPROTO_TCP, 30080)
	lb := key(ext, unix.IPPROTO_TCP, 80)
	local := func(e proxy.Entry) proxy.Rules {
		return proxy.Rules{Entries: map[proxy.Key]proxy.Entry{nodePort: e, lb: e}, ClusterIPs: []netip.Addr{vip}, Local: []netip.Addr{podA.Addr(), podB.Addr()}}
	}
	r.set("ns/s", local(proxy.Entry{Front: balance(proxy.Nobody, podA), Near: balance(proxy.Self, podA, podB)}))
	for range 5 {
		r.expect(r.outside, "tcp", "192.0.2.1:30080", "a", "192.0.2.2") // the client is seen
		r.expect(r.outside, "tcp", "198.51.100.1:80", "a", "192.0.2.2")
	}
	if got := r.tally(40, "", "tcp", "192.0.2.1:30080"); got["a"] < 8 || got["b"] < 8 {
		t.Errorf("from the node: %v", got)
	}
	if got := r.tally(40, r.a, "tcp", "198.51.100.1:80"); got["b"] < 8 {
		t.Errorf("from a pod: %v", got)
	}
	r.set("ns/s", local(proxy.Entry{Near: balance(proxy.Self, podB), Refuse: proxy.Drop}))
	r.silent(r.outside, "tcp", "192.0.2.1:30080")
	r.expect(r.b, "tcp", "192.0.2.1:30080", "b", "")
	r.expect("", "tcp", "198.51.100.1:80", "b", "")
}

func TestSourceRanges(t *testing.T) {
	r := newRig(t)
	allow := func(ranges ...string) proxy.Rules {
		e := proxy.Entry{Front: balance(proxy.Everyone, podA)}
		for _, s := range ranges {
			e.Allow = append(e.Allow, netip.MustParsePrefix(s))
		}
		return proxy.Rules{Entries: map[proxy.Key]proxy.Entry{key(ext, unix.IPPROTO_TCP, 80): e}}
	}
	r.set("ns/s", allow("203.0.113.0/24", "192.0.2.0/31"))
	r.silent(r.outside, "tcp", "198.51.100.1:80") // it is 192.0.2.2
	r.expect("", "tcp", "198.51.100.1:80", "a", "")
	r.set("ns/s", allow("203.0.113.0/24", "192.0.2.2/32"))
	r.expect(r.outside, "tcp", "198.51.100.1:80", "a", "")
	r.silent(r.b, "tcp", "198.51.100.1:80")
	r.set("ns/s", allow())
	r.expect(r.b, "tcp", "198.51.100.1:80", "a", "")
}

func TestSessionAffinity(t *testing.T) {
	r := newRig(t)
	sticky := func(seconds uint32, to ...netip.AddrPort) proxy.Rules {
		rules := service(to...)
		for k, e := range rules.Entries {
			e.Front.Affinity = seconds
			rules.Entries[k] = e
		}
		return rules
	}
	r.set("ns/s", sticky(1, podA, podB))
	for _, c := range []struct{ ns, addr string }{{r.a, "10.96.0.10:80"}, {r.outside, "192.0.2.1:30080"}, {"", "10.96.0.10:80"}} {
		if got := r.tally(12, c.ns, "tcp", c.addr); len(got) != 1 {
			t.Errorf("%s from %q: %v", c.addr, c.ns, got)
		}
	}
	// It ends when the client has been silent; within ten rounds the other backend must come up.
	seen := map[string]bool{}
	for i := 0; i < 10 && len(seen) < 2; i++ {
		name, _, _ := ask(t, r.a, "tcp", "10.96.0.10:80")
		seen[name] = true
		time.Sleep(1100 * time.Millisecond)
	}
	if len(seen) != 2 {
		t.Errorf("affinity does not end: %v", seen)
	}
	// A backend that goes takes its clients' affinity with it.
	r.set("ns/s", sticky(600, podA, podB))
	name, _, _ := ask(t, r.a, "tcp", "10.96.0.10:80")
	left := map[string]netip.AddrPort{"a": podB, "b": podA}[name]
	r.set("ns/s", sticky(600, left))
	if again, _, err := ask(t, r.a, "tcp", "10.96.0.10:80"); err != nil || again == name {
		t.Errorf("after %s went: %s %v", name, again, err)
	}
	r.set("ns/s", sticky(600, podA, podB))
	if got := r.tally(8, r.a, "tcp", "10.96.0.10:80"); len(got) != 1 || got[name] != 0 {
		t.Errorf("the new backend is not remembered: %v", got)
	}
	if n := r.lost.Load(); n != 0 {
		t.Errorf("what affinity forgets was taken for harm %d times", n)
	}
}

// A UDP client that keeps its socket follows its service to a new backend.
func TestUDPFlowsFollow(t *testing.T) {
	r := newRig(t)
	r.set("ns/s", service(podA))
	var c net.Conn
	netnstest.In(t, r.b, func() (err error) {
		c, err = net.Dial("udp", "10.96.0.10:80")
		return err
	})
	defer c.Close()
	say := func(want string) {
		t.Helper()
		var got string
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
			_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
			if _, err := c.Write([]byte("?")); err != nil {
				continue // the ICMP error of an earlier one
			}
			buf := make([]byte, 100)
			if n, err := c.Read(buf); err == nil && n > 0 {
				if got = string(buf[:1]); got == want {
					return
				}
			}
		}
		t.Errorf("answer from %q, want %q", got, want)
	}
	say("a")
	r.set("ns/s", service(podB))
	say("b")
}

func TestFiveThousandServices(t *testing.T) {
	r := newRig(t)
	fill(r.rules, 5000)
	start := time.Now()
	d := r.rules.Take()
	if err := r.Apply(&d); err != nil {
		t.Fatal(err)
	}
	full := time.Since(start)
	start = time.Now()
	r.set("ns/s", service(podA))
	t.Logf("5,000 services in %v, one more in %v", full, time.Since(start))
	r.expect(r.b, "tcp", "10.96.0.10:80", "a", "")
	r.expect(r.outside, "tcp", "10.97.1.7:80", "", "")
}

// The kernel takes the IPv6 table with everything that registers of that width must hold.
func TestIPv6Table(t *testing.T) {
	netnstest.Need(t)
	a := New(Config{Instance: "6", V6: true, Pods: []netip.Prefix{netip.MustParsePrefix("fd00:1::/48"), netip.MustParsePrefix("10.0.0.0/8")}})
	be := netip.MustParseAddrPort("[fd00:1::2]:8080")
	vip6 := netip.MustParseAddr("fd00:2::a")
	e := proxy.Entry{Front: &proxy.Balance{Affinity: 60, Backends: []netip.AddrPort{be}}, Near: &proxy.Balance{Masquerade: proxy.Self, Backends: []netip.AddrPort{be}},
		Allow: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}}
	rules := proxy.NewRuleset()
	rules.Set("ns/s", proxy.Rules{Entries: map[proxy.Key]proxy.Entry{key(vip6, 6, 80): e, key(netip.Addr{}, 17, 30080): e},
		ClusterIPs: []netip.Addr{vip6}, Local: []netip.Addr{be.Addr()}})
	all := rules.All()
	if err := a.Reset(&all); err != nil {
		t.Fatal(err)
	}
	if err := Cleanup("6"); err != nil {
		t.Error(err)
	}
}
