package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Level is how much a finding matters.
type Level string

// The levels: what is well, what may hurt later, what keeps a cluster from working.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Finding is what one check found, and what mends it; of what is well there is no mend.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	What  string `json:"what"`
	Mend  string `json:"mend,omitempty"`
}

// checks are all there are, in the order in which they are told. Each returns what is wrong, or one finding that nothing is.
var checks = []struct {
	name string
	look func(*Facts) []Finding
}{
	{"prerequisites", prerequisites},
	{"kernel", kernel},
	{"cgroups", cgroups},
	{"overlayfs", overlayfs},
	{"ports", ports},
	{"disk", disk},
	{"memory", memory},
	{"swap", swap},
	{"clock", clock},
	{"forwarding", forwarding},
	{"firewall", firewall},
	{"ranges", ranges},
	{"inotify", inotify},
	{"open files", openFiles},
	{"leftovers", leftovers},
	{"exposed nodes", exposed},
}

// Examine runs all checks.
func Examine(f *Facts) []Finding {
	var out []Finding
	for _, c := range checks {
		for _, finding := range c.look(f) {
			finding.Check = c.name
			out = append(out, finding)
		}
	}
	return out
}

// Worst is the level of the worst finding.
func Worst(all []Finding) Level {
	worst := OK
	for _, f := range all {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}

func fine(format string, args ...any) []Finding {
	return []Finding{{Level: OK, What: fmt.Sprintf(format, args...)}}
}

func warn(what, mend string) Finding { return Finding{Level: Warn, What: what, Mend: mend} }

func fail(what, mend string) Finding { return Finding{Level: Fail, What: what, Mend: mend} }

// orFine are the findings, or that all is well.
func orFine(found []Finding, format string, args ...any) []Finding {
	if len(found) > 0 {
		return found
	}
	return fine(format, args...)
}

// prerequisites divides each error into what is missing and, behind its last semicolon, what to do.
func prerequisites(f *Facts) (out []Finding) {
	for _, err := range f.Missing {
		what, mend := err.Error(), ""
		if i := strings.LastIndex(what, "; "); i > 0 {
			what, mend = what[:i], what[i+2:]
		}
		out = append(out, fail(what, mend))
	}
	return orFine(out, "programs, capabilities and namespaces are there")
}

func kernel(f *Facts) []Finding {
	var major, minor int
	if n, _ := fmt.Sscanf(f.Kernel, "%d.%d", &major, &minor); n == 2 && (major < 4 || major == 4 && minor < 19) {
		return []Finding{warn("kernel "+f.Kernel+" is older than what Kubernetes v1.37 is tried with", "run 4.19 or later")}
	}
	return fine("%s", f.Kernel)
}

func cgroups(f *Facts) []Finding {
	if f.NoNode {
		return fine("not needed without a node")
	}
	var lacking []string
	for _, name := range []string{"cpu", "memory", "pids"} {
		if !f.Controllers[name] {
			lacking = append(lacking, name)
		}
	}
	switch {
	case f.Cgroup == 0:
		return []Finding{fail("no cgroup file system is mounted at /sys/fs/cgroup", "boot with systemd, or: mount -t cgroup2 none /sys/fs/cgroup")}
	case len(lacking) > 0 && f.Cgroup == 1:
		return []Finding{fail("cgroup v1 without "+strings.Join(lacking, ", "), "boot with cgroup_enable=memory swapaccount=1, and mount the controllers that are missing")}
	case len(lacking) > 0:
		return []Finding{fail("cgroup v2 without "+strings.Join(lacking, ", "), "boot with cgroup_enable=memory; in a container, give it the controllers (cgroup.subtree_control of its parent)")}
	}
	return fine("version %d, with cpu, memory and pids", f.Cgroup)
}

func overlayfs(f *Facts) []Finding {
	if !f.NoNode && !f.Filesystems["overlay"] && !f.Modules["overlay"] {
		return []Finding{fail("the kernel does not know overlayfs, on which images are unpacked", "modprobe overlay")}
	}
	return fine("the kernel has it")
}

func ports(f *Facts) (out []Finding) {
	if f.Running {
		return fine("the cluster runs and has them")
	}
	for _, port := range slices.Sorted(maps.Keys(f.TakenPorts)) {
		what := f.TakenPorts[port]
		if what == apiServer {
			out = append(out, fail(fmt.Sprintf("port %d, for the %s, is somebody else's", port, what),
				"'ss -ltnp' names who has it: stop that, or take another port with --listen ADDRESS:PORT, or let --name choose one"))
			continue
		}
		out = append(out, warn(fmt.Sprintf("port %d, for the %s, is somebody else's; another is taken, or it goes without", port, what), "'ss -ltnp' names who has it"))
	}
	return orFine(out, "those of the cluster are free")
}

const apiServer = "API server"

// gib is a gigabyte as sizes of disks and memories are told.
const gib = 1 << 30

func disk(f *Facts) (out []Finding) {
	d := f.Disk
	switch {
	case d.Size == 0:
		return nil
	case d.ReadOnly:
		out = append(out, fail(d.Path+" can only be read", "mount it for writing, or take another place with --data-dir"))
	case d.Free < gib:
		out = append(out, fail(fmt.Sprintf("%s has %.1f GB free", d.Path, float64(d.Free)/gib), "make room, or take another place with --data-dir: images and the store need some gigabytes"))
	case d.Free*100 < d.Size*15:
		out = append(out, warn(fmt.Sprintf("%s is %d %% full: below 15 %% free images are deleted, below 10 %% pods are evicted", d.Path, 100-d.Free*100/d.Size), "make room, or change --eviction-hard"))
	}
	if d.Inodes > 0 && d.FreeInodes*100 < d.Inodes*5 {
		out = append(out, warn(fmt.Sprintf("%s has %d inodes left: below 5 %% pods are evicted", d.Path, d.FreeInodes), "delete small files, or take another place with --data-dir"))
	}
	return orFine(out, "%s has %.1f of %.1f GB free", d.Path, float64(d.Free)/gib, float64(d.Size)/gib)
}

func memory(f *Facts) []Finding {
	switch {
	case f.Memory == 0:
		return nil
	case f.Memory < gib/2:
		return []Finding{warn(fmt.Sprintf("%d MB of memory: the cluster itself takes about 150", f.Memory>>20), "give the machine, or the container, a gigabyte")}
	}
	return fine("%.1f GB", float64(f.Memory)/gib)
}

func swap(f *Facts) []Finding {
	if len(f.Swap) > 0 {
		return []Finding{warn("swap is on ("+strings.Join(f.Swap, ", ")+"): memory limits of pods do not count what is swapped out, and probes time out while it happens", "swapoff -a, and take it out of /etc/fstab; or leave it and know")}
	}
	return fine("off")
}

// built is before every time that can be true.
var built = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func clock(f *Facts) []Finding {
	switch {
	case f.Now.Before(built):
		return []Finding{fail("the clock says "+f.Now.UTC().Format(time.DateTime)+": certificates are not valid yet", "set it: 'timedatectl set-ntp true', or 'date -s …'")}
	case f.ClockKnown && !f.Synchronised:
		return []Finding{warn("nothing keeps the clock right: tokens and certificates of machines with different clocks fail", "'timedatectl set-ntp true', or run chrony")}
	}
	return fine("%s", f.Now.UTC().Format(time.DateTime)+" UTC")
}

func forwarding(f *Facts) []Finding {
	if f.Forwarding == "0" && f.Running && !f.NoNode {
		return []Finding{fail("net.ipv4.ip_forward was turned off while the node runs: pods reach nobody", "sysctl -w net.ipv4.ip_forward=1, and look for who turns it off below /etc/sysctl.d")}
	}
	if f.Forwarding == "0" {
		return fine("off; a node turns it on")
	}
	return fine("on")
}

func firewall(f *Facts) (out []Finding) {
	if f.NoFilter != nil && !f.NoNode {
		out = append(out, warn("nf_tables cannot be used, so Services are forwarded in userspace: "+f.NoFilter.Error(), "'modprobe nf_tables'"))
	}
	for _, chain := range f.DropChains {
		out = append(out, warn("chain "+chain+" of another packet filter drops by default", "nothing to do: a running node puts accepting rules into it and tells with the events PacketFilterOpened or PacketFilterBlocks of the Node"))
	}
	return orFine(out, "no other packet filter drops by default")
}

func ranges(f *Facts) (out []Finding) {
	for _, own := range []struct {
		flag string
		r    netip.Prefix
	}{{"--cluster-cidr", f.Pods}, {"--service-cidr", f.Services}} {
		for _, what := range slices.Sorted(maps.Keys(f.Others)) {
			if other := f.Others[what]; own.r.IsValid() && other.IsValid() && own.r.Overlaps(other) {
				out = append(out, fail(fmt.Sprintf("%s %s has addresses of %s (%s)", own.flag, own.r, what, other), "take another range with "+own.flag+" when the cluster is made; it cannot be changed later"))
			}
		}
	}
	return orFine(out, "pods %s and services %s meet nobody's", f.Pods, f.Services)
}

func inotify(f *Facts) (out []Finding) {
	if f.InotifyInstances > 0 && f.InotifyInstances < 128 {
		out = append(out, warn(fmt.Sprintf("fs.inotify.max_user_instances is %d: pods that watch files fail with 'too many open files'", f.InotifyInstances), "sysctl -w fs.inotify.max_user_instances=512"))
	}
	if f.InotifyWatches > 0 && f.InotifyWatches < 8192 {
		out = append(out, warn(fmt.Sprintf("fs.inotify.max_user_watches is %d", f.InotifyWatches), "sysctl -w fs.inotify.max_user_watches=65536"))
	}
	return orFine(out, "%d instances, %d watches", f.InotifyInstances, f.InotifyWatches)
}

func openFiles(f *Facts) []Finding {
	if f.OpenFiles > 0 && f.OpenFiles < 4096 {
		return []Finding{warn(fmt.Sprintf("a process may open %d files", f.OpenFiles), "ulimit -n 65536; LimitNOFILE= in a systemd unit")}
	}
	return fine("%d", f.OpenFiles)
}

func leftovers(f *Facts) (out []Finding) {
	for _, place := range f.Leftovers {
		out = append(out, warn(place+" is of a cluster that this machine does not know (any more)", "'sampan purge --yes --data-dir DIR', with the directory that it has or had; one that an older build started is known when it is started again"))
	}
	return orFine(out, "none of other clusters")
}

// exposed warns where the control plane reaches nodes over networks that others can listen on.
func exposed(f *Facts) []Finding {
	var public []string
	for _, a := range f.Nodes {
		if a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a) && !documentation(a) {
			public = append(public, a.String())
		}
	}
	if len(f.Nodes) > 1 && len(public) > 0 {
		return []Finding{warn("nodes have public addresses ("+strings.Join(public, ", ")+"): what the control plane sends to pods and services through its proxy crosses that network, and nobody verifies who answers",
			"let nodes and control plane meet in a private network or VPN (--node-ip), or through a tunnel")}
	}
	return fine("none")
}

// shared is the address space of carriers and of further nodes (RFC 6598), which no public network routes.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// documentation are the ranges of examples (RFC 5737).
func documentation(a netip.Addr) bool {
	for _, p := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"} {
		if netip.MustParsePrefix(p).Contains(a) {
			return true
		}
	}
	return false
}
