package nft

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sampan.dev/internal/node/netnstest"
	"sampan.dev/internal/node/proxy"

	"github.com/google/nftables"
)

// What others take away is noticed, what we do ourselves is not.
func TestOthersBreakTheTable(t *testing.T) {
	r := newRig(t)
	r.set("ns/s", service(podA, podB))
	r.set("ns/s", service(podB)) // takes elements away
	restore := func() {
		t.Helper()
		all := r.rules.All()
		if err := r.Reset(&all); err != nil {
			t.Fatal(err)
		}
		r.expect(r.a, "tcp", "10.96.0.10:80", "b", "")
	}
	restore()
	time.Sleep(50 * time.Millisecond)
	if n := r.lost.Load(); n != 0 {
		t.Fatalf("our own changes were taken for others' %d times", n)
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	other := &nftables.Table{Name: "other", Family: nftables.TableFamilyIPv4}
	for name, harm := range map[string]func(){
		"flush ruleset":  c.FlushRuleset,
		"delete table":   func() { c.DelTable(r.table.Table) },
		"flush table":    func() { c.FlushTable(r.table.Table) },
		"flush a chain":  func() { c.FlushChain(r.table.services) },
		"flush a map":    func() { c.FlushSet(r.table.fronts) },
		"others' tables": func() { c.AddTable(other); c.DelTable(other) },
	} {
		r.lost.Store(0)
		harm()
		if err := c.Flush(); err != nil {
			t.Fatal(name, err)
		}
		end := time.Now().Add(patience)
		for r.lost.Load() == 0 && time.Now().Before(end) && name != "others' tables" {
			time.Sleep(time.Millisecond)
		}
		if lost := r.lost.Load() > 0; lost == (name == "others' tables") {
			t.Errorf("%s: lost %v", name, lost)
		}
		restore()
	}
}

// A program so large that the account of it overruns the watch is not mistaken for harm, and harm is seen after it.
func TestWatchSurvivesLargePrograms(t *testing.T) {
	r := newRig(t)
	fill(r.rules, 5000)
	for range 3 {
		all := r.rules.All()
		if err := r.Reset(&all); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	if n := r.lost.Load(); n != 0 {
		t.Fatalf("lost %d times", n)
	}
	c, _ := nftables.New()
	c.FlushRuleset()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); r.lost.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody noticed")
		}
	}
}

func fill(rules *proxy.Ruleset, n int) {
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 97, byte(i >> 8), byte(i)})
		rules.Set(fmt.Sprint("ns/s", i), proxy.Rules{Entries: map[proxy.Key]proxy.Entry{key(a, 6, 80): {Front: balance(proxy.Strangers, podA, podB)}}, ClusterIPs: []netip.Addr{a}})
	}
}

// One change among 5,000 services: an endpoint swapped, a service that comes and goes.
func BenchmarkChange(b *testing.B) {
	netnstest.Need(b)
	a, rules := New(Config{Instance: "0a1b2c3d"}), proxy.NewRuleset()
	fill(rules, 5000)
	all := rules.All()
	rules.Take()
	if err := a.Reset(&all); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = Cleanup("0a1b2c3d") }()
	for _, c := range []struct {
		name     string
		one, two proxy.Rules
	}{
		{"swap", service(podA), service(podB)},
		{"service", service(podA, podB), proxy.Rules{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				rules.Set("ns/s", []proxy.Rules{c.one, c.two}[i%2])
				d := rules.Take()
				if err := a.Apply(&d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
