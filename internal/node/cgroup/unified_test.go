package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unifiedTree is a folder that looks like a mount of version 2. The kernel makes a group's files with the group; here the test does, for
// the groups that it names.
func unifiedTree(t *testing.T, groups ...string) (string, *Manager) {
	dir := t.TempDir()
	for _, g := range append([]string{"/"}, groups...) {
		if err := os.MkdirAll(filepath.Join(dir, g), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, g, "cgroup.controllers"), "cpuset cpu io memory hugetlb pids rdma misc")
		put(t, filepath.Join(dir, g, "cgroup.subtree_control"), "")
	}
	return dir, Over(dir, true)
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestUnifiedLimits(t *testing.T) {
	const group = "/kubepods/burstable/podu"
	dir, m := unifiedTree(t, "/kubepods", "/kubepods/burstable")
	p := Pod{UID: "u", Class: Burstable, CPURequestMilli: 1000, CPULimitMilli: 1500, MemoryLimit: 64 << 20, Pids: 100,
		MemoryMin: 1 << 20, MemoryLow: 2 << 20, HugePages: map[string]int64{"2MB": 4 << 20, "1GB": 0}}
	check := func(want map[string]string) {
		t.Helper()
		for file, text := range want {
			if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(b) != text {
				t.Errorf("%s is %q (%v), want %q", file, b, err, text)
			}
		}
	}
	if err := m.Ensure(p); err != nil {
		t.Fatal(err)
	}
	check(map[string]string{
		group + "/cpu.weight": "100", group + "/cpu.max": "150000 100000", group + "/memory.max": "67108864", group + "/pids.max": "100",
		group + "/memory.min": "1048576", group + "/memory.low": "2097152", group + "/hugetlb.2MB.max": "4194304", group + "/hugetlb.1GB.max": "0",
	})
	if l, ok := m.Limits(p); !ok || l.Memory != 64<<20 || l.Quota != 150000 || !SameShares(1024, l.Shares) {
		t.Errorf("read back %+v, %v", l, ok)
	}
	for _, err := range []error{m.SetMemory(p, 0), m.SetQuota(p, 0), m.SetShares(p, 2), m.SetProtection(Pod{UID: "u", Class: Burstable}), m.Balance(Sums{CPU: 2000, Guaranteed: 10, Burstable: 20})} {
		if err != nil {
			t.Error(err)
		}
	}
	check(map[string]string{
		group + "/cpu.weight": "1", group + "/cpu.max": "max 100000", group + "/memory.max": "max", group + "/memory.min": "0", group + "/memory.low": "0",
		"/kubepods/memory.min": "30", "/kubepods/memory.low": "20", "/kubepods/burstable/memory.low": "20", "/kubepods/burstable/cpu.weight": decimal(int64(Weight(2048))),
	})
}

// TestUnifiedDelegation hands every controller that pods need down to their groups, and none twice.
func TestUnifiedDelegation(t *testing.T) {
	dir, m := unifiedTree(t, "/kubepods")
	control := filepath.Join(dir, "cgroup.subtree_control")
	put(t, control, "cpuset cpu io memory hugetlb pids")
	if err := m.Ensure(Pod{UID: "u"}); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(control); strings.Contains(string(b), "+") {
		t.Errorf("what the root passes on already was written again: %s", b)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "kubepods", "cgroup.subtree_control")); string(b) != "+pids" {
		t.Errorf("the last controller that kubepods passes on: %s", b)
	}
}

func TestUnifiedUsage(t *testing.T) {
	dir, m := unifiedTree(t, "/kubepods", "/kubepods/podu")
	for file, text := range map[string]string{
		"cpu.stat": "usage_usec 1500000\n", "memory.current": "3000\n", "memory.max": "max\n", "memory.stat": "anon 1000\ninactive_file 500\npgfault 7\npgmajfault 1\n", "pids.current": "4\n",
		"memory.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n",
	} {
		put(t, filepath.Join(dir, "kubepods/podu", file), text)
	}
	u, ok := m.Usage(Pod{UID: "u"})
	if !ok || u.CPU.Milliseconds() != 1500 || u.Memory != 3000 || u.WorkingSet != 2500 || u.RSS != 1000 || u.Faults != 7 || u.MajFaults != 1 || u.Pids != 4 || u.Limit != 0 {
		t.Errorf("read %+v, %v", u, ok)
	}
	if w := u.MemoryWait; w == nil || w.Some.Avg10 != 1.5 || w.Full.Total.Microseconds() != 3 || u.CPUWait != nil {
		t.Errorf("pressure is %+v", w)
	}
	if root, ok := m.Root(); !ok || root.Memory == 0 {
		t.Errorf("the root group, which does not tell its memory, uses %d, %v", root.Memory, ok)
	}
}

func TestSwappable(t *testing.T) {
	dir, m := unifiedTree(t, "/any.slice")
	if m.Swappable() {
		t.Error("swap is limited without a file for it")
	}
	put(t, filepath.Join(dir, "any.slice", "memory.swap.max"), "max\n")
	if !m.Swappable() {
		t.Error("swap is not limited though there is a file for it")
	}
}
