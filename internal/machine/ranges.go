package machine

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/pki"
)

// ranges are the addresses of a cluster's pods and services. They are settled when the cluster is made and cannot change
// afterwards, because stored objects carry addresses out of them.
type ranges struct {
	Cluster string `json:"clusterCIDR"`
	Service string `json:"serviceCIDR"`
}

func rangesFile(cfg config.Config) string { return filepath.Join(cfg.DataDir, "ranges.json") }

// SettleRanges fills in the ranges that the command line left open: those the cluster was made with, else the usual ones for
// the cluster in the default place and, for others, ones that follow from the data directory and that no link of the machine has
// an address in, so that clusters side by side on one machine do not meet. It refuses a change.
func SettleRanges(cfg *config.Config) error {
	abs, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return err
	}
	cfg.DataDir = abs
	var made ranges
	data, err := os.ReadFile(rangesFile(*cfg))
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &made); err != nil {
			return fmt.Errorf("read %s: %w", rangesFile(*cfg), err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for a cluster in %s: %w", cfg.DataDir, err)
	}
	var usual ranges
	if made.Cluster == "" || made.Service == "" {
		usual = usualRanges(*cfg, linkAddrs())
	}
	for _, r := range []struct {
		flag        string
		value       *string
		made, usual string
	}{
		{"--cluster-cidr", &cfg.ClusterCIDR, made.Cluster, usual.Cluster},
		{"--service-cidr", &cfg.ServiceCIDR, made.Service, usual.Service},
	} {
		switch {
		case *r.value == "" && r.made != "":
			*r.value = r.made
		case *r.value == "":
			*r.value = r.usual
		case r.made != "" && r.made != *r.value:
			return flag.Usage{Err: fmt.Errorf("%s %s: the cluster in %s was made with %s, which cannot change", r.flag, *r.value, cfg.DataDir, r.made)}
		}
	}
	return nil
}

// usualRanges are the ranges of a cluster that nobody gave any: the first of those that its data directory points at and that
// none of the addresses in use lies in.
func usualRanges(cfg config.Config, used []netip.Addr) ranges {
	if cfg.Instance() == "" {
		return ranges{"10.244.0.0/16", "10.96.0.0/16"}
	}
	sum := sha256.Sum256([]byte(cfg.DataDir))
	pick := func(from, at byte) string {
		nth := func(i byte) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, from + (at%rangesOf+i)%rangesOf, 0, 0}), 16)
		}
		for i := range byte(rangesOf) {
			if p := nth(i); !slices.ContainsFunc(used, p.Contains) {
				return p.String()
			}
		}
		return nth(0).String() // all are in use: as good as any
	}
	return ranges{pick(128, sum[2]), pick(128+rangesOf, sum[3])}
}

// rangesOf is how many ranges there are to choose from, for pods and for services.
const rangesOf = 56

// linkAddrs are the addresses of the machine's links: of its networks, and of other clusters' bridges and DNS.
func linkAddrs() []netip.Addr {
	all, _ := net.InterfaceAddrs() // none known is none avoided
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// KeepRanges writes down what the cluster is made with.
func KeepRanges(cfg config.Config) error {
	data, err := json.Marshal(ranges{cfg.ClusterCIDR, cfg.ServiceCIDR})
	if err != nil {
		return err
	}
	return pki.WriteFile(rangesFile(cfg), append(data, '\n'), 0o600)
}
