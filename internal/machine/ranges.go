package machine

import (
	"cmp"
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
// the cluster in the default place and, for others, ones that follow from the data directory and that neither a link of the machine
// has an address in nor another cluster that runs here has, so that clusters side by side on one machine do not meet. It refuses a
// change.
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
			return &damagedRanges{rangesFile(*cfg), err}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for a cluster in %s: %w", cfg.DataDir, err)
	}
	var usual ranges
	if made.Cluster == "" || made.Service == "" {
		usual = usualRanges(*cfg, append(linkAddrs(), others(runDirs, cfg.Paths().Run)...))
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

// damagedRanges says that nobody knows the ranges that a cluster was made with, and what helps.
type damagedRanges struct {
	file string
	err  error
}

func (e *damagedRanges) Error() string {
	return fmt.Sprintf("read %s: %v. Remove it, and start with the --cluster-cidr and --service-cidr that the cluster was made with, if it was given any", e.file, e.err)
}

func (e *damagedRanges) Unwrap() error { return e.err }

// Settle fills in what the command line of a command about a cluster left open, and checks the whole.
func Settle(cfg *config.Config) error {
	if err := SettleRanges(cfg); err != nil {
		return err
	}
	return check(cfg)
}

// SettleToEnd is Settle for commands that end a cluster, which go on without the ranges that it was made with.
func SettleToEnd(cfg *config.Config) error {
	err := SettleRanges(cfg)
	if damaged := (*damagedRanges)(nil); errors.As(err, &damaged) {
		usual := usualRanges(*cfg, nil)
		cfg.ClusterCIDR, cfg.ServiceCIDR = cmp.Or(cfg.ClusterCIDR, usual.Cluster), cmp.Or(cfg.ServiceCIDR, usual.Service)
	} else if err != nil {
		return err
	}
	return check(cfg)
}

func check(cfg *config.Config) error {
	if err := cfg.Validate(); err != nil {
		return flag.Usage{Err: err}
	}
	return nil
}

// usualRanges are the ranges of a cluster that nobody gave any: the first of those that its data directory points at and that have
// nothing in common with those in use.
func usualRanges(cfg config.Config, used []netip.Prefix) ranges {
	if cfg.Instance() == "" {
		return ranges{"10.244.0.0/16", "10.96.0.0/16"}
	}
	sum := sha256.Sum256([]byte(cfg.DataDir))
	pick := func(from, at byte) string {
		nth := func(i byte) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, from + (at%rangesOf+i)%rangesOf, 0, 0}), 16)
		}
		for i := range byte(rangesOf) {
			if p := nth(i); !slices.ContainsFunc(used, p.Overlaps) {
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
func linkAddrs() []netip.Prefix {
	all, _ := net.InterfaceAddrs() // none known is none avoided
	var out []netip.Prefix
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, netip.PrefixFrom(p.Addr().Unmap(), p.Addr().Unmap().BitLen()))
		}
	}
	return out
}

// runDirs are the run directories of all clusters and nodes of this machine, as config.Paths names them.
const runDirs = "/run/sampan*"

// runRanges is where a cluster or node that runs tells others of its ranges, below its run directory: what lies there is gone when it
// is down. A link need not show them: the addresses of services are in rules only.
func runRanges(run string) string { return filepath.Join(run, "ranges.json") }

// others are the ranges of the clusters and nodes that run in other directories. What cannot be read is avoided by nobody.
func others(dirs, own string) []netip.Prefix {
	files, _ := filepath.Glob(runRanges(dirs))
	var out []netip.Prefix
	for _, file := range files {
		var r ranges
		data, err := os.ReadFile(file)
		if err != nil || filepath.Dir(file) == own || json.Unmarshal(data, &r) != nil {
			continue
		}
		for _, text := range []string{r.Cluster, r.Service} {
			if p, err := netip.ParsePrefix(text); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}

// KeepRanges writes down what the cluster is made with, and tells others.
func KeepRanges(cfg config.Config) error {
	if err := writeRanges(cfg, rangesFile(cfg)); err != nil {
		return err
	}
	return TellRanges(cfg)
}

// TellRanges tells others of this machine which ranges a cluster or node has. It needs the run directory, which who holds the data
// directory has made.
func TellRanges(cfg config.Config) error { return writeRanges(cfg, runRanges(cfg.Paths().Run)) }

func writeRanges(cfg config.Config, file string) error {
	data, err := json.Marshal(ranges{cfg.ClusterCIDR, cfg.ServiceCIDR})
	if err != nil {
		return err
	}
	return pki.WriteFile(file, append(data, '\n'), 0o600)
}
