package proxy

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"
)

// Each file of testdata/plan holds a service, its slices and, after "---- rules", what node "here" in zone "z1" makes of
// them. UPDATE=1 writes them anew.
func TestPlan(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := strings.Cut(string(data), "---- rules\n")
			var svc corev1.Service
			var slices []*discoveryv1.EndpointSlice
			for i, doc := range strings.Split(in, "---\n") {
				if i == 0 {
					must(t, yaml.UnmarshalStrict([]byte(doc), &svc))
					continue
				}
				s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
				must(t, yaml.UnmarshalStrict([]byte(doc), s))
				slices = append(slices, s)
			}
			got := text(Plan(&svc, slices, Node{Name: "here", Zone: "z1"}, false))
			if os.Getenv("UPDATE") != "" {
				must(t, os.WriteFile(file, []byte(in+"---- rules\n"+got), 0o644))
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// text prints rules, one line for each entry.
func text(r Rules) string {
	var lines []string
	for k, e := range r.Entries {
		addr := "*"
		if k.Addr.IsValid() {
			addr = k.Addr.String()
		}
		l := fmt.Sprintf("%s %d/%d", addr, k.Port, k.Proto)
		one := func(name string, b *Balance) {
			if b != nil {
				l += fmt.Sprintf(" %s(%s", name, [...]string{"strangers", "everyone", "nobody", "self"}[b.Masquerade])
				if b.Affinity > 0 {
					l += fmt.Sprintf(" %ds", b.Affinity)
				}
				l += fmt.Sprintf(" %v)", b.Backends)
			}
		}
		one("front", e.Front)
		one("near", e.Near)
		if l += [...]string{"", " reject", " drop"}[e.Refuse]; e.Allow != nil {
			l += fmt.Sprintf(" allow %v", e.Allow)
		}
		lines = append(lines, l)
	}
	sort.Strings(lines)
	lines = append(lines, fmt.Sprintf("local %v", r.Local))
	if r.Health != nil {
		lines = append(lines, fmt.Sprintf("health %d: %d", r.Health.Port, r.Health.Local))
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestRulesetDeltas(t *testing.T) {
	ip := netip.MustParseAddr
	at := func(s string) []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(s)} }
	k := Key{ip("10.96.0.1"), 6, 80}
	shared := Key{ip("192.0.2.9"), 6, 80}
	rules := func(backend string) Rules {
		e := Entry{Front: &Balance{Backends: at(backend)}}
		return Rules{Entries: map[Key]Entry{k: e, shared: e}, ClusterIPs: []netip.Addr{k.Addr}, Local: []netip.Addr{at(backend)[0].Addr()}}
	}
	r := NewRuleset()
	r.Set("ns/b", rules("10.0.0.1:1"))
	d := r.Take()
	if len(d.Changes) != 2 || len(d.AddClusterIPs) != 1 || len(d.AddLocal) != 1 || d.Changes[k].Old != nil {
		t.Errorf("first: %+v", d)
	}
	r.Set("ns/b", rules("10.0.0.1:1"))
	if d := r.Take(); !d.Empty() {
		t.Errorf("nothing changed: %+v", d)
	}
	r.Set("ns/b", rules("10.0.0.2:1"))
	d = r.Take()
	if len(d.Changes) != 2 || d.Changes[k].Old.Front.Backends[0] != at("10.0.0.1:1")[0] || !slices.Equal(d.DelLocal, []netip.Addr{ip("10.0.0.1")}) {
		t.Errorf("backend changed: %+v", d)
	}
	// Another service that sorts first takes a shared address, and gives it back.
	a := Rules{Entries: map[Key]Entry{shared: {Refuse: Reject}}}
	r.Set("ns/a", a)
	if d := r.Take(); len(d.Changes) != 1 || d.Changes[shared].New.Refuse != Reject {
		t.Errorf("taken over: %+v", d)
	}
	r.Set("ns/a", Rules{})
	if d := r.Take(); len(d.Changes) != 1 || d.Changes[shared].New.Front == nil {
		t.Errorf("given back: %+v", d)
	}
	if all := r.All(); len(all.Changes) != 2 || len(all.AddClusterIPs) != 1 || len(all.AddLocal) != 1 {
		t.Errorf("all: %+v", all)
	}
	r.Set("ns/b", Rules{})
	if d := r.Take(); len(d.Changes) != 2 || d.Changes[k].New != nil || len(d.DelClusterIPs) != 1 {
		t.Errorf("removed: %+v", d)
	}
}
