package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Remove kills what may still run in a pod's group and removes it with all below it.
func (m *Manager) Remove(p Pod) error {
	if m.off {
		return nil
	}
	if m.units != nil { // systemd asks processes to end and waits; these have had their time
		m.Kill(p)
		if err := m.units.Stop(filepath.Base(m.Path(p))); err != nil {
			return err
		}
	}
	return m.removePath(m.Path(p))
}

func (m *Manager) removePath(path string) error {
	var failed error
	for _, dir := range m.dirs(path) {
		if err := removeTree(dir); err != nil {
			failed = fmt.Errorf("remove cgroup %s: %w", path, err)
		}
	}
	return failed
}

// RemoveAll removes every group below root that we make.
func (m *Manager) RemoveAll() error {
	return m.removePath(filepath.Join(m.root, m.parts(Pod{})[0]))
}

// removeTree removes the directories of a group from the leaves up. A group whose last process is just dying is busy for
// some milliseconds; there is no event to wait for on v1.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for wait := time.Millisecond; ; wait *= 2 {
		err := unix.Rmdir(dir)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		if err != unix.EBUSY || wait > 500*time.Millisecond {
			return err
		}
		killAll(dir)
		time.Sleep(wait)
	}
}

func killAll(dir string) {
	f, err := os.Open(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if pid, err := strconv.Atoi(sc.Text()); err == nil && pid > 1 && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Pods lists the UIDs of the pods that have groups, with their class.
func (m *Manager) Pods() []Pod {
	if m.off {
		return nil
	}
	var out []Pod
	seen := map[string]bool{}
	for _, class := range []Class{Guaranteed, Burstable, BestEffort} {
		parts := m.parts(Pod{UID: "\x00", Class: class})
		prefix, suffix, _ := strings.Cut(parts[len(parts)-1], "\x00")
		for _, dir := range m.dirs(filepath.Join(append([]string{m.root}, parts[:len(parts)-1]...)...)) {
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				uid, ok := strings.CutPrefix(e.Name(), prefix)
				if !ok || !e.IsDir() || !strings.HasSuffix(uid, suffix) {
					continue
				}
				uid = strings.TrimSuffix(uid, suffix)
				if m.units != nil {
					uid = strings.ReplaceAll(uid, "_", "-")
				}
				if !seen[uid] {
					seen[uid] = true
					out = append(out, Pod{UID: uid, Class: class})
				}
			}
		}
	}
	return out
}
