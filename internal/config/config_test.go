package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValidateNamesTheFlag(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string // "" means valid
	}{
		{"default", func(*Config) {}, ""},
		{"root", func(c *Config) { c.DataDir = "/" }, "--data-dir must not be the root"},
		{"listen without port", func(c *Config) { c.Listen = "0.0.0.0" }, "--listen"},
		{"listen on a name", func(c *Config) { c.Listen = "example:6443" }, "not an IP address"},
		{"host bits", func(c *Config) { c.ClusterCIDR = "10.244.0.1/16" }, "did you mean 10.244.0.0/16"},
		{"overlap", func(c *Config) { c.ServiceCIDR = "10.244.1.0/24" }, "overlap"},
		{"tiny services", func(c *Config) { c.ServiceCIDR = "10.96.0.0/30" }, "between /12 and /27"},
		{"apart", func(c *Config) { c.Separate = true }, ""},
		{"nothing to run apart", func(c *Config) { c.Separate, c.NoNode = true, true }, "--separate: with --no-node"},
		{"several nodes apart", func(c *Config) { c.Separate, c.Nodes = true, 2 }, "--separate: with --nodes 2"},
		{"apart on any port", func(c *Config) { c.Separate, c.Listen = true, "0.0.0.0:0" }, "--separate: --listen 0.0.0.0:0"},
		{"no nodes", func(c *Config) { c.Nodes = 0 }, "--nodes"},
		{"nodes and none", func(c *Config) { c.Nodes, c.NoNode = 2, true }, "--nodes 2 and --no-node"},
		{"a node's name", func(c *Config) { c.NodeName = "Rack-1.example" }, ""},
		{"what is no node's name", func(c *Config) { c.NodeName = "a_b" }, `--node-name "a_b": a lowercase RFC 1123 subdomain`},
		{"what is no domain", func(c *Config) { c.ClusterDomain = "A_" }, `--cluster-domain "A_"`},
		{"no domain", func(c *Config) { c.ClusterDomain = "" }, "--cluster-domain"},
		{"names of the certificate", func(c *Config) { c.TLSSANs = []string{"a.b", "*.a.b", "::1", "10.0.0.1"} }, ""},
		{"what no certificate can name", func(c *Config) { c.TLSSANs = []string{"a.b", "a_b"} }, `--tls-san "a_b"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := ranged()
			tt.change(&c)
			err := c.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("Validate = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestClustersSideBySideShareNoPath(t *testing.T) {
	a, b := Default(), Default()
	b.DataDir = "/tmp/other"
	pa, pb := a.Paths(), b.Paths()
	for _, pair := range [][2]string{{pa.Run, pb.Run}, {pa.KubeletRoot, pb.KubeletRoot}, {pa.PodLogs, pb.PodLogs}, {pa.CgroupRoot, pb.CgroupRoot}, {pa.PKI, pb.PKI}} {
		if pair[0] == pair[1] {
			t.Errorf("both clusters use %s", pair[0])
		}
	}
	apart := pa.Apart()
	for _, pair := range [][2]string{{pa.Claim, apart.Claim}, {pa.Keeper, apart.Keeper}, {pa.Ready, apart.Ready}, {pa.Parts, apart.Parts}, {pa.Log, apart.Log}} {
		if pair[0] == pair[1] {
			t.Errorf("both processes of a cluster use %s", pair[0])
		}
	}
	if a.Instance() != "" || len(b.Instance()) != 8 {
		t.Errorf("instances %q and %q", a.Instance(), b.Instance())
	}
}

func TestServiceAddresses(t *testing.T) {
	c := ranged()
	if got := c.FirstServiceIP().String(); got != "10.96.0.1" {
		t.Errorf("first = %s", got)
	}
	if got := c.DNSIP().String(); got != "10.96.0.10" {
		t.Errorf("dns = %s", got)
	}
}

func ranged() Config {
	c := Default()
	c.ClusterCIDR, c.ServiceCIDR = "10.244.0.0/16", "10.96.0.0/16"
	return c
}

func TestAbove(t *testing.T) {
	cluster := t.TempDir()
	if got := Above(Below(cluster, 2)); got != "" {
		t.Errorf("below what is no cluster: %q", got)
	}
	if err := os.WriteFile(filepath.Join(cluster, "sampan.pid"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{Below(cluster, 2): cluster, cluster: "", filepath.Join(cluster, "nodes"): "", "/": "", "nodes/2": ""} {
		if got := Above(dir); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}
