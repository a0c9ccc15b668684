package network

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func ledgerOf(t *testing.T, dir, cidr string, now *time.Time) *ledger {
	t.Helper()
	l, err := openLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.now = func() time.Time { return *now }
	l.setRange(netip.MustParsePrefix(cidr))
	return l
}

func TestLeases(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1000, 0)
	l := ledgerOf(t, dir, "10.0.0.0/29", &now) // .2 to .6
	take := func(id string) *lease {
		t.Helper()
		le, err := l.take(lease{ContainerID: id, IfName: "eth0"}, names{}.pod)
		if err != nil {
			t.Fatal(err)
		}
		return le
	}
	a, b := take("a"), take("b")
	if a.Address.String() != "10.0.0.2" || b.Address.String() != "10.0.0.3" || b.Link != "smp-3" {
		t.Errorf("got %+v %+v", a, b)
	}
	if again := take("a"); again.Address != a.Address {
		t.Errorf("the same attachment got %s", again.Address)
	}
	if err := l.release(l.find("a", "eth0")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"c", "d", "e"} {
		take(id)
	}
	// Only the freed one is left: better early than never.
	if f := take("f"); f.Address != a.Address {
		t.Errorf("got %s, want the address that rested longest", f.Address)
	}
	if _, err := l.take(lease{ContainerID: "g", IfName: "eth0"}, names{}.pod); !errors.Is(err, errNoAddress) {
		t.Errorf("full range: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".10.0.0.9"), []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "10.0.0.4"), nil, 0o600); err != nil { // as after a power failure
		t.Fatal(err)
	}
	l = ledgerOf(t, dir, "10.0.0.0/29", &now)
	if l.find("b", "eth0") == nil || l.find("c", "eth0") != nil || len(l.all()) != 4 {
		t.Errorf("after reopening: %d leases", len(l.all()))
	}
}

func TestFreedAddressesRest(t *testing.T) {
	now := time.Unix(1000, 0)
	l := ledgerOf(t, t.TempDir(), "10.0.0.0/28", &now)
	seen := map[netip.Addr]bool{}
	for range 13 { // .2 to .14
		le, err := l.take(lease{ContainerID: "x", IfName: "eth0"}, names{}.pod)
		if err != nil {
			t.Fatal(err)
		}
		if seen[le.Address] {
			t.Fatalf("%s was reused at once", le.Address)
		}
		seen[le.Address] = true
		if err := l.release(le); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
}

func TestPlanRoutes(t *testing.T) {
	node := func(name, cidr, ip string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr}}
		if ip != "" {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: ip}}
		}
		return n
	}
	got := planRoutes("me", []*corev1.Node{node("me", "10.244.0.0/24", "192.0.2.1"), node("a", "10.244.1.0/24", "192.0.2.2"),
		node("new", "", "192.0.2.3"), node("dark", "10.244.4.0/24", "")})
	if len(got) != 1 || got[netip.MustParsePrefix("10.244.1.0/24")] != netip.MustParseAddr("192.0.2.2") {
		t.Errorf("got %v", got)
	}
}

func TestApplyRoutes(t *testing.T) {
	outside2(t)
	n := newNetwork(t, "0a1b2c3d")
	via := netip.MustParseAddr("192.0.2.2")
	p1, p2 := netip.MustParsePrefix("10.244.7.0/24"), netip.MustParsePrefix("10.244.8.0/24")
	count := func() int {
		rs, err := listRoutes(n.h, n.names)
		if err != nil {
			t.Fatal(err)
		}
		return len(rs)
	}
	for _, step := range []struct {
		want map[netip.Prefix]netip.Addr
		n    int
		bad  bool
	}{
		{map[netip.Prefix]netip.Addr{p1: via}, 2, false},
		{map[netip.Prefix]netip.Addr{p1: via, p2: via}, 3, false},
		{map[netip.Prefix]netip.Addr{p1: via, p2: via}, 3, false},
		{map[netip.Prefix]netip.Addr{p2: via, p1: netip.MustParseAddr("203.0.113.5")}, 2, true}, // behind a router
		{nil, 1, false},
	} {
		if err := applyRoutes(n.h, n.names, testRange, step.want); (err != nil) != step.bad {
			t.Errorf("want %v: %v", step.want, err)
		}
		if got := count(); got != step.n {
			t.Errorf("want %v: %d routes, want %d", step.want, got, step.n)
		}
	}
}
