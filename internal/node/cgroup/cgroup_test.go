package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNumbers(t *testing.T) {
	for milli, want := range map[int64]uint64{0: 2, 1: 2, 2: 2, 100: 102, 1000: 1024, 1 << 40: 262144} {
		if got := Shares(milli); got != want {
			t.Errorf("shares of %dm: %d, want %d", milli, got, want)
		}
	}
	for milli, want := range map[int64]int64{0: 0, 1: 1000, 10: 1000, 100: 10000, 2500: 250000} {
		if got := Quota(milli); got != want {
			t.Errorf("quota of %dm: %d, want %d", milli, got, want)
		}
	}
	for shares, want := range map[uint64]uint64{2: 1, 1024: 100, 102: 17, 262144: 10000} {
		if got := Weight(shares); got != want {
			t.Errorf("weight of %d shares: %d, want %d", shares, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	p := Pod{UID: "a-b", Class: Burstable}
	fs := &Manager{mount: "/x", root: "/r"}
	sd := (&Manager{mount: "/x", root: "/"}).over(&fakeUnits{})
	below := (&Manager{mount: "/x", root: "/a/b-c"}).over(&fakeUnits{})
	for _, c := range []struct{ got, want string }{
		{fs.Path(p), "/r/kubepods/burstable/poda-b"}, {fs.Parent(p), "/r/kubepods/burstable/poda-b"},
		{fs.Path(Pod{UID: "u"}), "/r/kubepods/podu"}, {fs.Path(Pod{UID: "u", Class: BestEffort}), "/r/kubepods/besteffort/podu"},
		{sd.Path(p), "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice"}, {sd.Parent(p), sd.Path(p)},
		{sd.Path(Pod{UID: "u"}), "/kubepods.slice/kubepods-podu.slice"},
		{below.Path(Pod{UID: "u"}), "/a.slice/a-b_c.slice/a-b_c-kubepods.slice/a-b_c-kubepods-podu.slice"},
		{Slice("/"), "/kubepods.slice"}, {Slice("/sampan-1"), "/sampan_1.slice"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

// TestGroups makes and removes groups of this machine, below a root of the test's own.
func TestGroups(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	root := "/sampan-test-" + filepath.Base(t.TempDir()) + strings.ReplaceAll(t.Name(), "/", "-")
	m, err := New("/sys/fs/cgroup", root, "cgroupfs", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.removePath(root); err != nil {
			t.Error(err)
		}
	})
	p := Pod{UID: "u1", Class: Burstable, CPURequestMilli: 500, CPULimitMilli: 1500, MemoryLimit: 64 << 20, Pids: 100}
	if err := m.Ensure(p); err != nil {
		t.Skipf("no cgroups to be made here: %v", err)
	}
	read := func(controller, name string) string {
		dirs := m.dirs(m.Path(p))
		dir := dirs[controller]
		if m.unified {
			dir = dirs[""]
		}
		b, _ := os.ReadFile(filepath.Join(dir, name))
		return strings.TrimSpace(string(b))
	}
	want := map[[2]string]string{{"cpu", "cpu.shares"}: "512", {"cpu", "cpu.cfs_quota_us"}: "150000", {"memory", "memory.limit_in_bytes"}: "67108864", {"pids", "pids.max"}: "100"}
	if m.unified {
		want = map[[2]string]string{{"", "cpu.weight"}: "59", {"", "cpu.max"}: "150000 100000", {"", "memory.max"}: "67108864", {"", "pids.max"}: "100"}
	}
	for k, v := range want {
		if got := read(k[0], k[1]); got != v {
			t.Errorf("%s is %s, want %s", k[1], got, v)
		}
	}
	if !m.Exists(p) {
		t.Error("it does not exist")
	}
	if list := m.Pods(); len(list) != 1 || list[0].UID != "u1" || list[0].Class != Burstable {
		t.Errorf("%+v", list)
	}
	if u, ok := m.Usage(p); !ok || u.Limit != 64<<20 {
		t.Errorf("%+v %t", u, ok)
	}
	p.CPULimitMilli = 2000
	if err := m.Ensure(p); err != nil {
		t.Error(err)
	}
	if err := m.Remove(p); err != nil {
		t.Error(err)
	}
	if m.Exists(p) {
		t.Error("it still exists")
	}
}
