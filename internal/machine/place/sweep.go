package place

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sampan.dev/internal/config"
	"sampan.dev/internal/node/cgroup"

	"golang.org/x/sys/unix"
)

// Sweep takes away what a crash may have left of a node after its runtime is gone: shims and processes in its cgroups,
// mounts below its directories, its cgroups, its pods' directories.
func Sweep(cfg config.Config) error {
	paths := cfg.Paths()
	errs := []error{killRuntime(paths)}
	groups := cgroupsOf(cfg)
	errs = append(errs, killIn(groups))
	errs = append(errs, unmountBelow(paths.Run, paths.KubeletRoot, filepath.Join(paths.Data, "containerd")))
	for _, g := range groups {
		errs = append(errs, removeCgroup(g))
	}
	if slice := cgroup.Slice(paths.CgroupRoot); slices.ContainsFunc(groups, func(g string) bool { return strings.HasSuffix(g, slice) }) {
		errs = append(errs, cgroup.StopSlice(paths.CgroupRoot))
	}
	errs = append(errs, RemoveTree(filepath.Join(paths.KubeletRoot, "pods")))
	errs = append(errs, forgetCNI(paths, "/var/lib/cni"))
	return errors.Join(errs...)
}

// forgetCNI removes what containerd's CNI library remembers of this node's pods. It has one place for all clusters of a
// machine and no setting for it; an entry is ours when its network namespace lies below our run directory.
func forgetCNI(paths config.Paths, place string) error {
	results := filepath.Join(place, "results")
	entries, err := os.ReadDir(results)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		file := filepath.Join(results, e.Name())
		data, err := os.ReadFile(file)
		if err != nil {
			continue // just gone, or a directory
		}
		var entry struct {
			NetNS string `json:"netns"`
		}
		if json.Unmarshal(data, &entry) == nil && strings.HasPrefix(entry.NetNS, paths.Run+"/") {
			errs = append(errs, os.Remove(file))
		}
	}
	_ = os.Remove(results) // both stay while there is anything in them
	_ = os.Remove(place)
	return errors.Join(errs...)
}

// killRuntime ends what is left of our containerd: the monitor and shims that were given its socket, and a containerd whose
// number was never written down because sampan was killed just then. One of them that lives a moment longer may start others, so
// it looks until there are none.
func killRuntime(paths config.Paths) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		pids, err := runtimeProcesses("/proc", paths)
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v do not end", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// runtimeProcesses finds them by what they were started with. One that is dead and not yet reaped has no arguments any more.
func runtimeProcesses(proc string, paths config.Paths) ([]int, error) {
	socket := filepath.Join(paths.Run, "containerd", "containerd.sock")
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(proc, e.Name(), "cmdline"))
		if err != nil {
			continue
		}
		args := bytes.Split(cmdline, []byte{0})
		mark := ""
		switch filepath.Base(string(args[0])) {
		case "containerd-shim-runc-v2", "sampan-shim", "sampan-monitor":
			mark = socket
		case "containerd":
			mark = filepath.Join(paths.Data, "containerd", "config.toml")
		default:
			continue
		}
		if slices.ContainsFunc(args, func(a []byte) bool { return strings.TrimSuffix(string(a), ".ttrpc") == mark }) {
			out = append(out, pid)
		}
	}
	return out, nil
}

// cgroupsOf are the directories below which everything of this cluster's pods runs, one per mounted hierarchy: v2's one, or
// v1's many.
func cgroupsOf(cfg config.Config) []string {
	root := cfg.Paths().CgroupRoot
	below := filepath.Join(root, "kubepods")
	if root != "/" {
		below = root // the whole of it is ours
	}
	mounts := []string{"/sys/fs/cgroup"}
	entries, _ := os.ReadDir("/sys/fs/cgroup")
	for _, e := range entries {
		mounts = append(mounts, filepath.Join("/sys/fs/cgroup", e.Name()))
	}
	var dirs []string
	for _, m := range mounts {
		var st unix.Statfs_t
		if unix.Statfs(m, &st) != nil || st.Type != unix.CGROUP_SUPER_MAGIC && st.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		for _, g := range []string{below, cgroup.Slice(root)} { // by either driver
			dir := filepath.Join(m, g)
			if _, err := os.Stat(dir); err == nil {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// killIn kills what runs in the groups and below them until nothing does: what is killed may just have started another.
func killIn(groups []string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		left := 0
		for _, g := range groups {
			n, err := killOnce(g)
			if err != nil {
				return err
			}
			left += n
		}
		if left == 0 || time.Now().After(deadline) {
			return nil // removing the groups tells if they are not empty
		}
	}
}

// killOnce kills what it sees in a group and below it, and returns how many that were. What is frozen is thawed so that it can die.
func killOnce(group string) (seen int, err error) {
	err = filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		procs, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for _, f := range strings.Fields(string(procs)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 1 {
				seen++
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if seen > 0 {
			_ = os.WriteFile(filepath.Join(path, "freezer.state"), []byte("THAWED"), 0) // version 1 has it in one tree
		}
		return nil
	})
	return seen, err
}

// removeCgroup removes a cgroup and those below it, the deepest first. Killed processes leave theirs when the kernel has
// reaped them; until then the directory is busy.
func removeCgroup(dir string) error {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	slices.Reverse(dirs)
	for _, d := range dirs {
		if err := rmdirPatiently(d); err != nil {
			return fmt.Errorf("remove cgroup: %w", err)
		}
	}
	return nil
}
