package doctor

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// healthy is a machine on which nothing is found.
func healthy() *Facts {
	return &Facts{
		DataDir: "/d", Kernel: "6.1.0-18-amd64", Cgroup: 2, Controllers: set([]string{"cpu", "memory", "pids"}), Filesystems: set([]string{"overlay"}),
		Disk: Disk{Path: "/", Free: 50 * gib, Size: 100 * gib, Inodes: 1000, FreeInodes: 900}, Now: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC),
		ClockKnown: true, Synchronised: true, Forwarding: "1", Pods: netip.MustParsePrefix("10.244.0.0/16"), Services: netip.MustParsePrefix("10.96.0.0/16"),
		Others: map[string]netip.Prefix{"link eth0": netip.MustParsePrefix("192.168.1.0/24")}, InotifyInstances: 128, InotifyWatches: 8192, OpenFiles: 1 << 20, Memory: 2 * gib,
	}
}

func TestAHealthyMachine(t *testing.T) {
	all := Examine(healthy())
	if Worst(all) != OK || len(all) != len(checks) {
		t.Errorf("%d findings of %d checks: %+v", len(all), len(checks), all)
	}
	for _, f := range all {
		if f.Check == "" || f.What == "" || f.Mend != "" {
			t.Errorf("%+v", f)
		}
	}
}

// Each thing that can be wrong is found alone, and says what mends it.
func TestFindings(t *testing.T) {
	for _, c := range []struct {
		check  string
		change func(*Facts)
		level  Level
		what   string
		mend   string
	}{
		{"prerequisites", func(f *Facts) {
			f.Missing = []error{errors.New("service rules need nf_tables: x; 'modprobe nf_tables'")}
		}, Fail, "service rules need nf_tables: x", "modprobe nf_tables"},
		{"kernel", func(f *Facts) { f.Kernel = "3.10.0-1160" }, Warn, "3.10", "4.19"},
		{"cgroups", func(f *Facts) { f.Cgroup = 0 }, Fail, "no cgroup file system", "mount -t cgroup2"},
		{"cgroups", func(f *Facts) { f.Controllers = set([]string{"cpu"}) }, Fail, "without memory, pids", "cgroup_enable=memory"},
		{"cgroups", func(f *Facts) { f.Cgroup, f.Controllers = 1, set([]string{"cpu", "pids"}) }, Fail, "cgroup v1 without memory", "cgroup_enable=memory"},
		{"overlayfs", func(f *Facts) { f.Filesystems = nil }, Fail, "overlayfs", "modprobe overlay"},
		{"ports", func(f *Facts) { f.TakenPorts = map[int]string{6443: apiServer} }, Fail, "port 6443", "--listen"},
		{"ports", func(f *Facts) { f.TakenPorts = map[int]string{10250: "kubelet"} }, Warn, "port 10250", "ss -ltnp"},
		{"disk", func(f *Facts) { f.Disk.Free = gib / 2 }, Fail, "0.5 GB free", "--data-dir"},
		{"disk", func(f *Facts) { f.Disk.Free = 12 * gib }, Warn, "88 % full", "--eviction-hard"},
		{"disk", func(f *Facts) { f.Disk.ReadOnly = true }, Fail, "can only be read", "--data-dir"},
		{"disk", func(f *Facts) { f.Disk.FreeInodes = 1 }, Warn, "1 inodes left", "delete small files"},
		{"memory", func(f *Facts) { f.Memory = gib / 4 }, Warn, "256 MB", "gigabyte"},
		{"swap", func(f *Facts) { f.Swap = []string{"/dev/sda2"} }, Warn, "/dev/sda2", "swapoff"},
		{"clock", func(f *Facts) { f.Now = time.Unix(0, 0) }, Fail, "1970-01-01", "timedatectl"},
		{"clock", func(f *Facts) { f.Synchronised = false }, Warn, "nothing keeps the clock right", "chrony"},
		{"forwarding", func(f *Facts) { f.Forwarding, f.Running = "0", true }, Fail, "ip_forward was turned off", "sysctl -w"},
		{"firewall", func(f *Facts) { f.NoFilter = errors.New("operation not supported") }, Warn, "forwarded in userspace: operation not supported", "modprobe nf_tables"},
		{"firewall", func(f *Facts) { f.DropChains = []string{"ip filter FORWARD"} }, Warn, "ip filter FORWARD", "PacketFilterOpened"},
		{"ranges", func(f *Facts) { f.Others["link eth1"] = netip.MustParsePrefix("10.96.5.0/24") }, Fail, "--service-cidr 10.96.0.0/16 has addresses of link eth1", "--service-cidr"},
		{"inotify", func(f *Facts) { f.InotifyInstances = 64 }, Warn, "max_user_instances is 64", "sysctl -w"},
		{"inotify", func(f *Facts) { f.InotifyWatches = 64 }, Warn, "max_user_watches is 64", "sysctl -w"},
		{"open files", func(f *Facts) { f.OpenFiles = 1024 }, Warn, "1024 files", "ulimit -n"},
		{"leftovers", func(f *Facts) { f.Leftovers = []string{"/run/sampan-00000000"} }, Warn, "/run/sampan-00000000", "sampan purge"},
		{"exposed nodes", func(f *Facts) {
			f.Nodes = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("8.8.4.4")}
		}, Warn, "8.8.4.4", "tunnel"},
	} {
		t.Run(c.check+": "+c.what, func(t *testing.T) {
			f := healthy()
			c.change(f)
			var bad []Finding
			for _, finding := range Examine(f) {
				if finding.Level != OK {
					bad = append(bad, finding)
				}
			}
			if len(bad) != 1 || bad[0].Check != c.check || bad[0].Level != c.level || !strings.Contains(bad[0].What, c.what) || !strings.Contains(bad[0].Mend, c.mend) {
				t.Errorf("%+v", bad)
			}
			if Worst(bad) != c.level {
				t.Errorf("the worst is %s", Worst(bad))
			}
		})
	}
	f := healthy()
	f.Running, f.TakenPorts = true, map[int]string{6443: apiServer}
	f.Nodes = []netip.Addr{netip.MustParseAddr("8.8.4.4")}
	if all := Examine(f); Worst(all) != OK {
		t.Errorf("a lone node with a public address, whose ports are its own: %+v", all)
	}
	if f := healthy(); len(Examine(&Facts{NoNode: true, Now: f.Now})) == 0 {
		t.Error("no facts, no findings")
	}
}

func TestCgroupFacts(t *testing.T) {
	top := t.TempDir()
	v1 := filepath.Join(top, "cgroups")
	if err := os.WriteFile(v1, []byte("#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t1\t1\nmemory\t0\t1\t0\npids\t3\t1\t1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"cpu", "memory", "pids"} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var f Facts
	f.cgroups(top, v1)
	if f.Cgroup != 1 || !f.Controllers["cpu"] || f.Controllers["memory"] || !f.Controllers["pids"] {
		t.Errorf("version 1: %d %v", f.Cgroup, f.Controllers)
	}
	if err := os.WriteFile(filepath.Join(top, "cgroup.controllers"), []byte("cpu memory\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.cgroups(top, v1)
	if f.Cgroup != 2 || !f.Controllers["memory"] || f.Controllers["pids"] {
		t.Errorf("version 2: %d %v", f.Cgroup, f.Controllers)
	}
}
