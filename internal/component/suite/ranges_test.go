package suite

import (
	"strings"
	"testing"
)

// Ranges are refused that nobody gives out, or that are somebody else's already.
func TestBalancerRanges(t *testing.T) {
	for _, c := range []struct {
		cloud string
		list  []string
		want  string
	}{
		{"", []string{"192.0.2.10-192.0.2.19", "fd00::10/124"}, ""},
		{"", []string{"192.0.2.19-192.0.2.10"}, `--load-balancer-range: invalid value "192.0.2.19-192.0.2.10": 192.0.2.10 does not come after 192.0.2.19`},
		{"", []string{"10.244.3.0/24"}, "10.244.3.0/24 overlaps the pods' addresses, 10.244.0.0/16"},
		{"", []string{"10.0.0.1-10.255.0.1"}, "overlaps the pods' addresses"},
		{"", []string{"10.96.7.7"}, "10.96.7.7 overlaps the services' addresses, 10.96.0.0/16"},
		{"none", []string{"192.0.2.10"}, "addresses are given out of ranges by --cloud=local alone, and it is none"},
	} {
		cfg := New()
		cfg.ClusterCIDR, cfg.ServiceCIDR, cfg.ClusterDomain, cfg.Listen = "10.244.0.0/16", "10.96.0.0/16", "cluster.local", "127.0.0.1:6443"
		cfg.DataDir, cfg.Cloud.Provider, cfg.Cloud.Ranges = t.TempDir(), c.cloud, c.list
		err := cfg.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %q: %v, want %q", c.cloud, c.list, err, c.want)
		}
	}
}
