package userspace

import (
	"net/netip"
	"testing"
	"time"

	"sampan.dev/internal/node/proxy"
)

var (
	b1 = netip.MustParseAddrPort("10.244.0.1:80")
	b2 = netip.MustParseAddrPort("10.244.0.2:80")
	b3 = netip.MustParseAddrPort("10.244.1.3:80")
)

func balance(affinity uint32, to ...netip.AddrPort) *proxy.Balance {
	return &proxy.Balance{Affinity: affinity, Backends: to}
}

// Which endpoint a client gets, where chance always says the last of those that are left.
func TestPick(t *testing.T) {
	none := netip.AddrPort{}
	for _, c := range []struct {
		name  string
		entry proxy.Entry
		from  string
		near  bool
		tried []netip.AddrPort
		want  netip.AddrPort // none: refused
	}{
		{"one of several", proxy.Entry{Front: balance(0, b1, b2)}, "10.0.0.9", false, nil, b2},
		{"one that was not tried", proxy.Entry{Front: balance(0, b1, b2)}, "10.0.0.9", false, []netip.AddrPort{b2}, b1},
		{"all were tried", proxy.Entry{Front: balance(0, b1)}, "10.0.0.9", false, []netip.AddrPort{b1}, none},
		{"no endpoint", proxy.Entry{Refuse: proxy.Reject}, "10.0.0.9", true, nil, none},
		{"policy Local, from elsewhere", proxy.Entry{Front: balance(0, b1), Near: balance(0, b1, b3)}, "10.0.0.9", false, nil, b1},
		{"policy Local, from a pod", proxy.Entry{Front: balance(0, b1), Near: balance(0, b1, b3)}, "10.244.0.7", true, nil, b3},
		{"policy Local without local endpoints", proxy.Entry{Near: balance(0, b3), Refuse: proxy.Drop}, "10.0.0.9", false, nil, none},
		{"policy Local without local endpoints, from a pod", proxy.Entry{Near: balance(0, b3), Refuse: proxy.Drop}, "10.244.0.7", true, nil, b3},
		{"within the source ranges", proxy.Entry{Front: balance(0, b1), Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "10.0.0.9", false, nil, b1},
		{"outside the source ranges", proxy.Entry{Front: balance(0, b1), Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "192.0.2.9", false, nil, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBalancer(c.entry)
			b.random = func(n int) int { return n - 1 }
			got, ok := b.pick(client{netip.MustParseAddr(c.from), func() bool { return c.near }}, c.tried, time.Unix(0, 0))
			if got != c.want || ok != (c.want != none) {
				t.Errorf("got %v %v, want %v", got, ok, c.want)
			}
		})
	}
}

// Chance reaches every endpoint, and none that is no longer one.
func TestPickIsSpread(t *testing.T) {
	b := newBalancer(proxy.Entry{Front: balance(0, b1, b2, b3)})
	seen := map[netip.AddrPort]int{}
	c := client{netip.MustParseAddr("10.0.0.9"), nil}
	for range 3000 {
		to, _ := b.pick(c, nil, time.Unix(0, 0))
		seen[to]++
	}
	for _, to := range []netip.AddrPort{b1, b2, b3} {
		if seen[to] < 800 {
			t.Errorf("%v got %d of 3000", to, seen[to])
		}
	}
}

// A client stays with its endpoint until it was silent for the whole timeout, or the endpoint goes or does not answer.
func TestAffinity(t *testing.T) {
	b := newBalancer(proxy.Entry{Front: balance(100, b1, b2, b3)})
	next := 0
	b.random = func(n int) int { next++; return (next - 1) % n }
	at := func(sec int64) time.Time { return time.Unix(sec, 0) }
	one, other := client{netip.MustParseAddr("10.0.0.1"), nil}, client{netip.MustParseAddr("10.0.0.2"), nil}
	step := func(what string, c client, sec int64, want netip.AddrPort, tried ...netip.AddrPort) {
		t.Helper()
		if got, _ := b.pick(c, tried, at(sec)); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	step("first", one, 0, b1)
	step("another client", other, 0, b2)
	step("again", one, 99, b1)
	step("each visit counts anew", one, 198, b1)
	step("silent for the timeout", one, 298, b3)
	if len(b.sticky) != 1 {
		t.Errorf("%d clients remembered, want the silent ones forgotten", len(b.sticky))
	}
	step("its endpoint does not answer", one, 299, b2, b3) // of b1 and b2 that are left
	step("and it stays with the new one", one, 300, b2)
	b.set(proxy.Entry{Front: balance(100, b2, b3)})
	step("others went", one, 301, b2)
	b.set(proxy.Entry{Front: balance(100, b3)})
	step("its endpoint went", one, 302, b3)
	b.set(proxy.Entry{Front: balance(0, b3, b1)})
	step("no affinity any more", one, 303, b1)
	if b.sticky != nil {
		t.Error("clients are remembered without affinity")
	}
}

// Where sockets listen for an address.
func TestListenAt(t *testing.T) {
	for _, c := range []struct {
		addr string
		is   standing
		v6   bool
		want string
	}{
		{"", native, false, "0.0.0.0"},
		{"", native, true, "::"},
		{"10.96.0.10", ours, false, "10.96.0.10"},
		{"10.96.0.10", standIn, false, "127.96.0.10"},
		{"fd00::1", ours, true, "fd00::1"},
	} {
		var a netip.Addr
		if c.addr != "" {
			a = netip.MustParseAddr(c.addr)
		}
		if got := listenAt(a, c.is, c.v6); got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.addr, got, c.want)
		}
	}
	for addr, can := range map[string]bool{"10.96.0.1": true, "10.0.1.1": true, "10.0.0.1": false, "fd00::1": false} {
		if got := canStandIn(netip.MustParseAddr(addr)); got != can {
			t.Errorf("%s stands in: %v", addr, got)
		}
	}
}
