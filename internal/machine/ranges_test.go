package machine

import (
	"net/netip"
	"testing"

	"sampan.dev/internal/config"
)

func TestUsualRanges(t *testing.T) {
	if r := usualRanges(config.Config{DataDir: config.DefaultDataDir}, nil); r != (ranges{"10.244.0.0/16", "10.96.0.0/16"}) {
		t.Errorf("in the default place: %v", r)
	}
	cfg := config.Config{DataDir: "/somewhere"}
	alone := usualRanges(cfg, nil)
	if alone != usualRanges(cfg, []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}) {
		t.Error("addresses elsewhere change the ranges")
	}

	// Another cluster has the same: its bridge and its DNS have addresses in them.
	first := func(cidr string) netip.Addr { return netip.MustParsePrefix(cidr).Addr().Next() }
	used := []netip.Addr{first(alone.Cluster), first(alone.Service)}
	beside := usualRanges(cfg, used)
	for _, c := range []struct{ a, b string }{{alone.Cluster, beside.Cluster}, {alone.Service, beside.Service}, {beside.Cluster, beside.Service}} {
		if netip.MustParsePrefix(c.a).Overlaps(netip.MustParsePrefix(c.b)) {
			t.Errorf("%s and %s overlap", c.a, c.b)
		}
	}

	// However many there are, each finds a range, and pods' and services' stay apart.
	seen := map[string]bool{}
	used = nil
	for range rangesOf {
		r := usualRanges(cfg, used)
		for _, cidr := range []string{r.Cluster, r.Service} {
			if seen[cidr] {
				t.Fatalf("%s is given twice", cidr)
			}
			seen[cidr] = true
			used = append(used, first(cidr))
		}
	}
	if r := usualRanges(cfg, used); r != alone {
		t.Errorf("with all in use: %v", r)
	}
}
