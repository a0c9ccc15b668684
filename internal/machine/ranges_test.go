package machine

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/config"
)

func TestUsualRanges(t *testing.T) {
	if r := usualRanges(config.Config{DataDir: config.DefaultDataDir}, nil); r != (ranges{"10.244.0.0/16", "10.96.0.0/16"}) {
		t.Errorf("in the default place: %v", r)
	}
	cfg := config.Config{DataDir: "/somewhere"}
	alone := usualRanges(cfg, nil)
	if alone != usualRanges(cfg, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128")}) {
		t.Error("addresses elsewhere change the ranges")
	}

	// Another cluster has the same: its bridge and its DNS have addresses in them.
	first := func(cidr string) netip.Prefix { return netip.PrefixFrom(netip.MustParsePrefix(cidr).Addr().Next(), 32) }
	used := []netip.Prefix{first(alone.Cluster), first(alone.Service)}
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

// What another cluster has told of is avoided, whether or not a link has an address of it; what this one has told is not, and a file
// that cannot be read counts for nothing.
func TestRangesOfOthersAreAvoided(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{DataDir: filepath.Join(dir, "data")}
	alone := usualRanges(cfg, nil)
	for name, text := range map[string]string{
		"sampan-theirs": `{"clusterCIDR":"172.30.0.0/16","serviceCIDR":"` + alone.Service + `"}`,
		"sampan-ours":   `{"clusterCIDR":"` + alone.Cluster + `","serviceCIDR":"172.31.0.0/16"}`,
		"sampan-broken": `{"clusterCIDR":"10.`,
		"sampan-empty":  `{}`,
	} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(runRanges(filepath.Join(dir, name)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	beside := usualRanges(cfg, others(filepath.Join(dir, "sampan*"), filepath.Join(dir, "sampan-ours")))
	if beside.Cluster != alone.Cluster {
		t.Errorf("pods get %s, not %s, which is our own", beside.Cluster, alone.Cluster)
	}
	if netip.MustParsePrefix(beside.Service).Overlaps(netip.MustParsePrefix(alone.Service)) {
		t.Errorf("services get %s, which another cluster has", beside.Service)
	}
}

// What a cluster tells is what another reads.
func TestRangesAreTold(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{DataDir: dir, ClusterCIDR: "172.30.0.0/16", ServiceCIDR: "172.31.0.0/16"}
	if err := writeRanges(cfg, runRanges(dir)); err != nil {
		t.Fatal(err)
	}
	if got := others(dir, "elsewhere"); len(got) != 2 || got[0].String() != cfg.ClusterCIDR || got[1].String() != cfg.ServiceCIDR {
		t.Errorf("others read %v", got)
	}
}

// A cluster whose ranges nobody knows any more can be ended, and is not started with others.
func TestDamagedRanges(t *testing.T) {
	for _, text := range []string{"", "junk", `{"clusterCIDR":1}`} {
		cfg := config.Default()
		cfg.DataDir = t.TempDir()
		if err := os.WriteFile(rangesFile(cfg), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ending := cfg
		if err := SettleToEnd(&ending); err != nil || ending.ClusterCIDR == "" || ending.ServiceCIDR == "" {
			t.Errorf("%q: %v, %q", text, err, ending.ClusterCIDR)
		}
		if err := Settle(&cfg); err == nil || !strings.Contains(err.Error(), rangesFile(cfg)) || !strings.Contains(err.Error(), "Remove it") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
