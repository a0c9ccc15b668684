package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Class is the quality of service class of a pod.
type Class uint8

// Classes.
const (
	Guaranteed Class = iota
	Burstable
	BestEffort
)

// Pod is what a pod's group is made from. Zero limits mean none.
type Pod struct {
	UID             string
	Class           Class
	CPURequestMilli int64
	CPULimitMilli   int64
	MemoryLimit     int64
	Pids            int64 // <= 0: no limit

	// MemoryMin and MemoryLow are bytes that are kept from reclaim: always, and as long as possible. Version 2 alone knows them.
	MemoryMin, MemoryLow int64
	// HugePages is the limit of each size of huge pages, by the kernel's name of the size: "2MB".
	HugePages map[string]int64
}

// Period is the CFS period in microseconds.
const Period = 100000

// Shares turns a CPU request into cpu.shares.
func Shares(milli int64) uint64 {
	if milli == 0 {
		return 2
	}
	return uint64(min(262144, max(2, milli*1024/1000)))
}

// Quota turns a CPU limit into a CFS quota in microseconds per Period, 0 for no limit.
func Quota(milli int64) int64 {
	if milli == 0 {
		return 0
	}
	return max(1000, milli*Period/1000)
}

// Weight turns cpu.shares into v2's cpu.weight, by the curve that runc and crun use since 1.3 / 1.23 (1024 shares are
// weight 100).
func Weight(shares uint64) uint64 {
	if shares <= 2 {
		return 1
	}
	if shares >= 262144 {
		return 10000
	}
	// log2 and powers in floating point; the kernel wants an integer of 1..10000.
	l := math.Log2(float64(shares))
	exponent := (l*l+125*l)/612.0 - 7.0/34.0
	return uint64(math.Ceil(math.Pow(10, exponent)))
}

// Manager makes and removes pod groups. Nothing in it changes after New; what it keeps is in the file system, and with systemd's driver in
// systemd too.
type Manager struct {
	mount   string // /sys/fs/cgroup
	root    string // path below the mount
	units   units  // systemd, which makes the groups as its slices; nil with the driver cgroupfs
	prefix  string // what the names of slices begin with, from the slices that root is made of: "" or "a-b-"
	unified bool
	off     bool
	trees   func() map[string]string // findTrees of mount, found once: machines mount them when they start
}

// controllers of v1 that pods' groups exist in. freezer, blkio and the rest are left to the runtime.
var controllers = []string{"cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb", "systemd", "net_cls", "net_prio", "perf_event",
	"unified"} // the v2 tree of a hybrid machine, which runc uses too

// New returns a manager of the groups below root (a path below the cgroup mount, "/" for all of it). driver is "cgroupfs"
// or "systemd", and the latter is an error where systemd does not run; with off nothing is made and no parent is named.
func New(mount, root, driver string, off bool) (*Manager, error) {
	m := &Manager{mount: mount, root: filepath.Join("/", root), unified: isUnified(mount), off: off,
		trees: sync.OnceValue(func() map[string]string { return findTrees(mount) })}
	if driver != Systemd || off {
		return m, nil
	}
	if !booted(bootedDir) {
		return nil, errors.New("systemd not running on this host, cannot use systemd cgroups manager")
	}
	return m.over(&bus{}), nil
}

// Mount is where the machine's control groups are.
const Mount = "/sys/fs/cgroup"

// Unified reports whether this machine has version 2 alone.
func Unified() bool { return isUnified(Mount) }

func isUnified(mount string) bool {
	var st unix.Statfs_t
	return unix.Statfs(mount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// Over returns a manager of groups in a folder that stands for the cgroup mount, as tests have it: on v2 it is the one tree, on v1 it has a
// folder for each controller.
func Over(dir string, unified bool, trees ...string) *Manager {
	m := &Manager{mount: dir, root: "/", unified: unified}
	m.trees = sync.OnceValue(func() map[string]string {
		out := map[string]string{}
		for _, c := range trees {
			out[c] = filepath.Join(dir, c)
		}
		return out
	})
	return m
}

// Unified reports whether the machine has cgroup v2 alone.
func (m *Manager) Unified() bool { return m.unified }

// parts are the names below root on the way to a pod's group.
func (m *Manager) parts(p Pod) []string {
	names := []string{"kubepods", "pod" + p.UID}
	switch p.Class {
	case Burstable:
		names = []string{"kubepods", "burstable", "pod" + p.UID}
	case BestEffort:
		names = []string{"kubepods", "besteffort", "pod" + p.UID}
	}
	if m.units != nil {
		return sliceNames(m.prefix, names)
	}
	return names
}

// Path of a pod's group below the cgroup mount.
func (m *Manager) Path(p Pod) string {
	return filepath.Join(append([]string{m.root}, m.parts(p)...)...)
}

// Parent is what the CRI is told as the parent of a pod's containers: the path of the pod's group with either driver. Runtimes take the last
// name of it where they go by systemd's slices.
func (m *Manager) Parent(p Pod) string {
	if m.off {
		return ""
	}
	return m.Path(p)
}

// dirs are the directories of one group: one per controller on v1, one in all on v2.
func (m *Manager) dirs(path string) map[string]string {
	if m.unified {
		return map[string]string{"": filepath.Join(m.mount, path)}
	}
	out := map[string]string{}
	for c, tree := range m.trees() {
		out[c] = filepath.Join(tree, path)
	}
	return out
}

// findTrees are the roots of v1's trees below mount, each once, by a controller of it.
func findTrees(mount string) map[string]string {
	out := map[string]string{}
	seen := map[string]bool{}
	for _, c := range controllers {
		base := filepath.Join(mount, c)
		real, err := filepath.EvalSymlinks(base) // cpu and cpuacct may be one tree
		if err != nil {
			continue
		}
		var st unix.Statfs_t
		if unix.Statfs(real, &st) != nil || st.Type != unix.CGROUP_SUPER_MAGIC && st.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		if seen[real] {
			continue
		}
		seen[real] = true
		out[c] = real
	}
	return out
}

// Ensure makes a pod's group with its limits, or brings the limits of an existing one up to date.
func (m *Manager) Ensure(p Pod) error {
	if m.off {
		return nil
	}
	parts := m.parts(p)
	path := m.root
	if err := m.startSlices(m.Path(p)); err != nil {
		return err
	}
	for i, part := range parts {
		parent := path
		path = filepath.Join(path, part)
		if err := m.make(parent, path); err != nil {
			return err
		}
		if i < len(parts)-1 && i == 1 && p.Class == BestEffort {
			// What promises nothing gets the least; burstable's share follows from its pods' requests (Balance).
			if err := m.setCPU(path, 2, 0); err != nil {
				return err
			}
		}
	}
	return m.limit(path, p)
}

func (m *Manager) make(parent, path string) error {
	if m.unified && path != "/" { // a group has the controllers that each of its ancestors passes on
		for i := range parent {
			if parent[i] == '/' && i > 0 {
				if err := m.delegate(parent[:i]); err != nil {
					return err
				}
			} else if i == 0 {
				if err := m.delegate("/"); err != nil {
					return err
				}
			}
		}
		if parent != "/" {
			if err := m.delegate(parent); err != nil {
				return err
			}
		}
	}
	for c, dir := range m.dirs(path) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make cgroup %s: %w", path, err)
		}
		if c == "cpuset" { // an empty cpuset takes no process
			for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
				if err := inheritFile(dir, f); err != nil {
					return fmt.Errorf("make cgroup %s: %w", path, err)
				}
			}
		}
	}
	return nil
}

func inheritFile(dir, name string) error {
	if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(strings.TrimSpace(string(b))) > 0 {
		return err
	}
	up := filepath.Dir(dir)
	b, err := os.ReadFile(filepath.Join(up, name))
	if err != nil {
		return err
	}
	if len(strings.TrimSpace(string(b))) == 0 {
		if err := inheritFile(up, name); err != nil {
			return err
		}
		if b, err = os.ReadFile(filepath.Join(up, name)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, name), b, 0)
}

// delegate enables the controllers that pods need for the children of a v2 group.
func (m *Manager) delegate(path string) error {
	dir := filepath.Join(m.mount, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make cgroup %s: %w", path, err)
	}
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("delegate cgroup %s: %w", path, err)
	}
	on, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	passed := strings.Fields(string(on))
	var failed error
	for _, c := range strings.Fields(string(have)) {
		switch c {
		case "cpu", "cpuset", "memory", "pids", "io", "hugetlb":
			if slices.Contains(passed, c) {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0); err != nil && c != "hugetlb" && c != "io" {
				failed = fmt.Errorf("delegate %s to the children of cgroup %s: %w", c, path, err)
			}
		}
	}
	return failed
}

// write sets a file of a group. A controller or file that the kernel does not have is passed over.
func (m *Manager) write(path, controller, name, value string) error {
	dirs := m.dirs(path)
	dir, ok := dirs[controller]
	if m.unified {
		dir, ok = dirs[""]
	}
	if !ok {
		return nil
	}
	err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("set %s of cgroup %s to %s: %w", name, path, value, err)
	}
	return nil
}

// Exists reports whether a pod's group is there in every hierarchy.
func (m *Manager) Exists(p Pod) bool {
	if m.off {
		return true
	}
	return m.there(m.Path(p))
}
