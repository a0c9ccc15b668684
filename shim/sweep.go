package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"
)

// A monitor that starts has made no containers yet, so those that exist belong to another monitor. A monitor that lives is the parent
// of its containers. The containers of one that died are ghosts, and a monitor kills and removes all of them before it serves:
// containerd took the closed connection for the end of the container, so that it may start the next copy on the same volumes
// and ports as soon as a monitor answers. To take ghosts over instead would not help: containerd does not take back that a container
// has ended, and their output and exit codes were lost with their monitor.

// sweepLimit bounds the wait for killed processes to end. One that is stuck in the kernel for longer no longer runs code of its own;
// its control group stays, and the node does not start its pod again before that is empty.
const sweepLimit = 10 * time.Second

// ghost is what was found of one container.
type ghost struct {
	id     string
	state  string                  // directory of runc's state
	lib    *libcontainer.Container // nil where the state was never written
	bundle string                  // "" where containerd has removed it
	groups []string                // directories of its control groups
}

// sweep kills and removes the containers of dir, containerd's state directory, whose monitor is not among others, which live.
func sweep(dir string, others []int, log *slog.Logger) {
	list := slices.DeleteFunc(ghostsOf(dir), func(g *ghost) bool { return len(others) > 0 && !g.ownerless(others) })
	if len(list) == 0 {
		return
	}
	for _, g := range list {
		g.kill()
	}
	left := 0
	for end := time.Now().Add(sweepLimit); ; time.Sleep(2 * time.Millisecond) {
		if left = killAll(list); left == 0 || time.Now().After(end) {
			break
		}
	}
	for _, g := range list {
		if err := g.remove(); err != nil {
			log.Warn("container of a dead monitor stays", "container", g.id, "error", err)
		}
	}
	log.Warn("took away the containers of a dead monitor", "containers", len(list), "processes_left", left)
}

// monitorsOf returns the processes, other than this one, that are monitors of dir.
func monitorsOf(dir string) []int {
	entries, _ := os.ReadDir("/proc")
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // empty for one that is dead
		args := strings.Split(string(cmdline), "\x00")
		if i := slices.Index(args, "-dir"); filepath.Base(args[0]) == "sampan-monitor" && i > 0 && i+1 < len(args) && args[i+1] == dir {
			out = append(out, pid)
		}
	}
	return out
}

// ghostsOf finds containers by runc's states and by containerd's bundles: one that was killed half made may have only one of the two.
func ghostsOf(dir string) []*ghost {
	byID := map[key]*ghost{}
	var out []*ghost
	look := func(pattern string) {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern, "*", "*"))
		for _, path := range paths {
			k := key{filepath.Base(filepath.Dir(path)), filepath.Base(path)}
			if byID[k] == nil && !strings.HasPrefix(k.id, ".") {
				byID[k] = readGhost(dir, k)
				out = append(out, byID[k])
			}
		}
	}
	look("runc")
	look("io.containerd.runtime.v2.task")
	return out
}

// readGhost collects what there is of one container.
func readGhost(dir string, k key) *ghost {
	root := filepath.Join(dir, "runc", k.namespace)
	g := &ghost{id: k.id, state: filepath.Join(root, k.id)}
	if bundle := filepath.Join(dir, "io.containerd.runtime.v2.task", k.namespace, k.id); isDir(bundle) {
		g.bundle = bundle
		g.groups = groupsOf(bundle)
	}
	if lib, err := libcontainer.Load(root, k.id); err == nil {
		g.lib = lib
		if st, err := lib.State(); err == nil {
			for _, group := range st.CgroupPaths {
				if !slices.Contains(g.groups, group) {
					g.groups = append(g.groups, group)
				}
			}
		}
	}
	return g
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// groupsOf returns the control groups that the specification in a bundle names, one in each hierarchy.
func groupsOf(bundle string) []string {
	body, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil
	}
	var spec struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	if json.Unmarshal(body, &spec) != nil || !strings.HasPrefix(spec.Linux.CgroupsPath, "/") || filepath.Clean(spec.Linux.CgroupsPath) == "/" {
		return nil
	}
	roots := []string{cgroupRoot}
	if cgroups.Mode() != cgroups.Unified {
		roots, _ = filepath.Glob(filepath.Join(cgroupRoot, "*"))
	}
	var out []string
	for _, root := range roots {
		if dir := filepath.Join(root, spec.Linux.CgroupsPath); isDir(dir) {
			out = append(out, dir)
		}
	}
	return out
}

// ownerless reports whether the container runs and is the child of none of these monitors. One that does not run counts as owned:
// its monitor may be about to report its end.
func (g *ghost) ownerless(monitors []int) bool {
	if g.lib == nil {
		return false
	}
	st, err := g.lib.State()
	if err != nil || st.InitProcessPid == 0 {
		return false
	}
	parent, ok := parentOf(st.InitProcessPid)
	return ok && !slices.Contains(monitors, parent)
}

// parentOf is the process's parent, by /proc.
func parentOf(pid int) (int, bool) {
	body, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false
	}
	_, rest, _ := bytes.Cut(body[bytes.LastIndexByte(body, ')')+1:], []byte(" "))
	fields := strings.Fields(string(rest)) // state, parent
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// kill kills the first process, and with it all in its PID namespace, and thaws what is frozen so that it can die.
func (g *ghost) kill() {
	if g.lib != nil {
		_ = g.lib.Signal(unix.SIGKILL) // or it is dead
	}
	for _, dir := range g.groups {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) // version 2, since Linux 5.14
		_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0)
	}
}

// killAll kills every process in the containers' control groups and below them, and returns how many there were.
func killAll(list []*ghost) int {
	seen := map[int]bool{}
	for _, g := range list {
		for _, dir := range g.groups {
			for _, pid := range processesIn(dir) {
				seen[pid] = true
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
	return len(seen)
}

// processesIn lists the processes of a control group and of those below it.
func processesIn(dir string) []int {
	var out []int
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		procs, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, f := range strings.Fields(string(procs)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 1 && pid != os.Getpid() {
				out = append(out, pid)
			}
		}
		return nil
	})
	return out
}

// remove removes the mounted root, the control groups and runc's state. Containerd removes the bundle.
func (g *ghost) remove() error {
	var errs []error
	if g.bundle != "" {
		errs = append(errs, mount.UnmountRecursive(filepath.Join(g.bundle, "rootfs"), unix.MNT_DETACH))
	}
	if g.lib != nil {
		errs = append(errs, g.lib.Destroy())
		return errors.Join(errs...)
	}
	for _, dir := range g.groups {
		removeCgroup(dir)
	}
	return errors.Join(append(errs, os.RemoveAll(g.state))...)
}

// sweepSandboxes frees the memory of sandboxes whose monitor died; their processes ended with it. State is the CRI plugin's.
// It must not be called while another monitor lives, which may own some of them.
func sweepSandboxes(state string) {
	dirs, _ := filepath.Glob(filepath.Join(state, "sandboxes", "*"))
	for _, dir := range dirs {
		_ = unix.Unmount(filepath.Join(dir, "shm"), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		_ = os.Remove(filepath.Join(dir, "shm"))
		_ = os.Remove(dir)
	}
}
