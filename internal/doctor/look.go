package doctor

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/site"
	"sampan.dev/internal/status"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Look gathers the facts of this machine for the cluster of cfg, whose ranges are settled.
func Look(ctx context.Context, cfg config.Config) *Facts {
	f := &Facts{DataDir: cfg.DataDir, NoNode: cfg.NoNode, Now: time.Now(), Listen: cfg.Listen}
	if s, err := status.Gather(ctx, cfg.DataDir); err == nil {
		f.Running = s.PID != 0
		for _, n := range s.Nodes {
			if a, err := netip.ParseAddr(n.Address); err == nil {
				f.Nodes = append(f.Nodes, a)
			}
		}
	}
	if err := machine.Prerequisites(cfg, ""); err != nil {
		f.Missing = []error{err}
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			f.Missing = several.Unwrap()
		}
	}
	f.Pods, _ = netip.ParsePrefix(cfg.ClusterCIDR)
	f.Services, _ = netip.ParsePrefix(cfg.ServiceCIDR)
	f.kernel()
	f.cgroups("/sys/fs/cgroup", "/proc/cgroups")
	f.ports()
	f.disk(cfg.DataDir)
	f.limits()
	f.NoFilter, f.DropChains = machine.NoPacketFilter(), dropChains()
	f.Others = others(cfg)
	f.Leftovers = strangers(cfg)
	return f
}

func (f *Facts) kernel() {
	f.Kernel = word("/proc/sys/kernel/osrelease")
	f.Modules = set(firsts("/proc/modules"))
	f.Filesystems = map[string]bool{}
	for _, line := range lines("/proc/filesystems") {
		fields := strings.Fields(line)
		f.Filesystems[fields[len(fields)-1]] = true
	}
	f.Forwarding = word("/proc/sys/net/ipv4/ip_forward")
	var t unix.Timex
	if state, err := unix.Adjtimex(&t); err == nil {
		f.ClockKnown, f.Synchronised = true, state != unix.TIME_ERROR
	}
}

// cgroups finds which version is mounted and what it controls.
func (f *Facts) cgroups(mount, v1 string) {
	if data, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers")); err == nil {
		f.Cgroup, f.Controllers = 2, set(strings.Fields(string(data)))
		return
	}
	f.Controllers = map[string]bool{}
	for _, line := range lines(v1) {
		if fields := strings.Fields(line); len(fields) == 4 && fields[3] == "1" {
			if _, err := os.Stat(filepath.Join(mount, fields[0])); err == nil {
				f.Cgroup, f.Controllers[fields[0]] = 1, true
			}
		}
	}
}

// ports finds those of a cluster that are taken, by trying to listen.
func (f *Facts) ports() {
	if f.Running {
		return
	}
	f.TakenPorts = map[int]string{}
	wanted := map[string]string{f.Listen: apiServer, "127.0.0.1:2379": "embedded etcd"}
	if !f.NoNode {
		wanted[":10250"], wanted["127.0.0.1:10248"] = "kubelet", "kubelet's health"
		wanted["127.0.0.1:10249"], wanted["127.0.0.1:10256"] = "proxy's metrics", "proxy's health"
	}
	for at, what := range wanted {
		l, err := net.Listen("tcp", at)
		if err == nil {
			l.Close()
			continue
		}
		_, port, _ := net.SplitHostPort(at)
		if n, err := strconv.Atoi(port); err == nil {
			f.TakenPorts[n] = what
		}
	}
}

// disk looks at the file system that the data directory is on, or will be.
func (f *Facts) disk(dir string) {
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
	}
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil {
		size := uint64(st.Bsize)
		f.Disk = Disk{dir, st.Bavail * size, st.Blocks * size, st.Files, st.Ffree, st.Flags&unix.ST_RDONLY != 0}
	}
}

func (f *Facts) limits() {
	f.InotifyInstances, _ = strconv.Atoi(word("/proc/sys/fs/inotify/max_user_instances"))
	f.InotifyWatches, _ = strconv.Atoi(word("/proc/sys/fs/inotify/max_user_watches"))
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		f.OpenFiles = limit.Max // which a program may raise itself to, and Go's do
	}
	if swaps := firsts("/proc/swaps"); len(swaps) > 1 {
		f.Swap = swaps[1:] // below the heading
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		f.Memory = uint64(info.Totalram) * uint64(info.Unit)
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if n, err := strconv.ParseUint(word(file), 10, 64); err == nil && n < f.Memory {
			f.Memory = n
		}
	}
}

// dropChains are base chains of others that drop what passes them by default. Without the right to look there are none.
func dropChains() (out []string) {
	c, err := nftables.New()
	if err != nil {
		return nil
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil
	}
	families := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet"}
	for _, ch := range chains {
		if ch.Policy == nil || *ch.Policy != nftables.ChainPolicyDrop || ch.Hooknum == nil || *ch.Hooknum == *nftables.ChainHookOutput || ours(ch.Table.Name) {
			continue
		}
		out = append(out, families[ch.Table.Family]+" "+ch.Table.Name+" "+ch.Name)
	}
	slices.Sort(out)
	return out
}

func ours(table string) bool {
	return strings.HasPrefix(table, "kube-proxy") || strings.HasPrefix(table, "sampan-network")
}

// others are the ranges of the machine's links that are no cluster's, and of the other clusters that run.
func others(cfg config.Config) map[string]netip.Prefix {
	out := map[string]netip.Prefix{}
	links, _ := net.Interfaces()
	for _, l := range links {
		if strings.HasPrefix(l.Name, "smp") || strings.HasPrefix(l.Name, "lo") {
			continue // a cluster's: see below
		}
		addrs, _ := l.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				out["link "+l.Name] = p.Masked()
			}
		}
	}
	for _, at := range site.All() {
		s, err := status.Brief(at.Dir)
		if err != nil || s.PID == 0 || at.Dir == cfg.DataDir {
			continue
		}
		if p, err := netip.ParsePrefix(s.Pods); err == nil {
			out["pods of cluster "+at.Name] = p
		}
		if p, err := netip.ParsePrefix(s.Services); err == nil {
			out["services of cluster "+at.Name] = p
		}
	}
	return out
}

// strangers are run directories of clusters that have no data directory which this machine knows of.
func strangers(cfg config.Config) (out []string) {
	known := map[string]bool{runOf(cfg.DataDir): true}
	for _, at := range site.All() {
		known[runOf(at.Dir)] = true
		nodes, _ := filepath.Glob(filepath.Join(at.Dir, "nodes", "*"))
		for _, dir := range nodes {
			known[runOf(dir)] = true
		}
	}
	dirs, _ := filepath.Glob("/run/sampan*")
	for _, dir := range dirs {
		if !known[dir] {
			out = append(out, dir)
		}
	}
	return out
}

func runOf(dir string) string {
	c := config.Config{DataDir: dir}
	return c.Paths().Run
}

// lines are those of a file that are not empty; a file that is not there has none.
func lines(path string) (out []string) {
	data, _ := os.ReadFile(path)
	for _, line := range strings.Split(string(data), "\n") {
		if strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out
}

// firsts are the first words of a file's lines.
func firsts(path string) (out []string) {
	for _, line := range lines(path) {
		out = append(out, strings.Fields(line)[0])
	}
	return out
}

func word(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}

func set(words []string) map[string]bool {
	out := map[string]bool{}
	for _, w := range words {
		out[w] = true
	}
	return out
}
