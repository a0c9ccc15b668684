package cgroup

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// killWait is how long Kill waits for processes to go. A killed one is gone at once unless it is stuck in the kernel.
const killWait = 2 * time.Second

// Kill kills what runs in a pod's group and below it. It returns how many processes it found and how many are left: what
// ran there unknown to the container runtime, once that has stopped all it knows of.
func (m *Manager) Kill(p Pod) (found, left int) {
	return m.killIn(p, func(string) bool { return true })
}

// KillContainer kills what runs in the group of one container of a pod, whatever the runtime calls that group.
func (m *Manager) KillContainer(p Pod, id string) (found, left int) {
	if id == "" {
		return 0, 0
	}
	return m.killIn(p, func(below string) bool {
		first, _, _ := strings.Cut(below, "/")
		return strings.Contains(first, id)
	})
}

// killIn kills in those groups of a pod whose path below the pod's is wanted.
func (m *Manager) killIn(p Pod, want func(below string) bool) (found, left int) {
	if m.off {
		return 0, 0
	}
	dir, ok := m.tree(m.Path(p))
	if !ok {
		return 0, 0
	}
	seen := map[int]bool{}
	for end := time.Now().Add(killWait); ; time.Sleep(time.Millisecond) { // there is no event to wait for on v1
		pids := processes(dir, want)
		for _, pid := range pids {
			seen[pid] = true
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(pids) == 0 || time.Now().After(end) {
			return len(seen), len(pids)
		}
		m.thaw(p, want)
	}
}

// tree is the directory of a group in the one tree that is looked at: a process that a runtime starts is in all of them.
func (m *Manager) tree(path string) (string, bool) {
	dirs := m.dirs(path)
	for _, c := range []string{"", "pids", "memory", "devices", "cpu"} {
		if dir, ok := dirs[c]; ok {
			return dir, true
		}
	}
	return "", false
}

func processes(dir string, want func(string) bool) []int {
	var out []int
	walk(dir, want, func(group string) {
		b, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 1 && pid != os.Getpid() && !slices.Contains(out, pid) {
				out = append(out, pid)
			}
		}
	})
	return out
}

// thaw lets frozen groups of v1 go on: nothing in them can die before. On v2 it can.
func (m *Manager) thaw(p Pod, want func(string) bool) {
	dir, ok := m.dirs(m.Path(p))["freezer"]
	if m.unified || !ok {
		return
	}
	walk(dir, want, func(group string) {
		_ = os.WriteFile(filepath.Join(group, "freezer.state"), []byte("THAWED"), 0)
	})
}

// walk calls fn for a group and those below it that are wanted.
func walk(dir string, want func(below string) bool, fn func(group string)) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		below, _ := filepath.Rel(dir, path)
		if want(below) {
			fn(path)
		}
		return nil
	})
}
