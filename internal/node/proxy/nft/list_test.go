package nft

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"sampan.dev/internal/node/proxy"
)

// People look at the rules with nft; what we make must be something it can print. Version 1.0.6 (Debian 12) aborts on some
// rules that the kernel takes.
func TestNftPrintsTheTable(t *testing.T) {
	path, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("nft is not installed")
	}
	r := newRig(t)
	list := func(family string) string {
		t.Helper()
		out, err := exec.Command(path, "list", "table", family, tableName("0a1b2c3d")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Contains(string(out), "invalid type") {
			t.Errorf("nft does not understand a part of\n%s", out)
		}
		return string(out)
	}
	expect := func(out string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in\n%s", w, out)
			}
		}
	}
	r.set("ns/s", service(podA, podB))
	expect(list("ip"), "10.96.0.10 . tcp . 80 : goto cluster-2")

	sticky := service(podA, podB)
	for k, e := range sticky.Entries {
		e.Front.Affinity = 10800
		e.Near = &proxy.Balance{Masquerade: proxy.Self, Affinity: 60, Backends: e.Front.Backends}
		e.Allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("192.0.2.0/24")}
		sticky.Entries[k] = e
	}
	sticky.Entries[key(ext, 17, 81)] = proxy.Entry{Refuse: proxy.Drop}
	r.set("ns/s", sticky)
	r.expect(r.a, "tcp", "10.96.0.10:80", "", "")
	expect(list("ip"), "goto cluster-affinity10800-2", "10.244.0.2 . 10.96.0.10 . tcp . 80",
		"dnat ip to ip daddr . meta l4proto . th dport . meta priority map @numbered")

	six := New(Config{Instance: "0a1b2c3d", V6: true, Pods: []netip.Prefix{netip.MustParsePrefix("fd00:1::/48")}})
	e := sixEntry()
	if err := six.Reset(&proxy.Delta{Changes: map[proxy.Key]proxy.Change{key(netip.MustParseAddr("fd00:2::a"), 6, 80): {New: &e}, key(netip.Addr{}, 17, 30080): {New: &e}}}); err != nil {
		t.Fatal(err)
	}
	expect(list("ip6"), "fd00:2::a . tcp . 80 : goto cluster-affinity60-1")
}

func sixEntry() proxy.Entry {
	be := []netip.AddrPort{netip.MustParseAddrPort("[fd00:1::2]:8080")}
	return proxy.Entry{Front: &proxy.Balance{Affinity: 60, Backends: be}, Near: &proxy.Balance{Masquerade: proxy.Self, Affinity: 60, Backends: be},
		Allow: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}}
}
