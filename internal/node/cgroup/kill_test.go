package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// sleeper starts a process in a group of every tree.
func sleeper(t *testing.T, m *Manager, path string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for tree, dir := range m.dirs(path) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			if tree == "cpuset" {
				if err := inheritFile(dir, f); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil && tree != "unified" {
			t.Fatal(tree, err)
		}
	}
	return cmd
}

// What runs in a pod's group, wherever below it, is killed; of one container, that container's alone.
func TestKill(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	root := "/sampan-test-kill-" + strconv.Itoa(os.Getpid())
	m, err := New("/sys/fs/cgroup", root, "cgroupfs", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.removePath(root); err != nil {
			t.Error(err)
		}
	})
	p := Pod{UID: "u1", Class: BestEffort}
	if err := m.Ensure(p); err != nil {
		t.Skipf("no cgroups to be made here: %v", err)
	}
	if found, left := m.Kill(p); found != 0 || left != 0 {
		t.Errorf("in an empty group: found %d, left %d", found, left)
	}
	dead := func(cmd *exec.Cmd) {
		t.Helper()
		if err := cmd.Wait(); err == nil || cmd.ProcessState.String() != "signal: killed" {
			t.Errorf("%v ended with %v", cmd.Args, cmd.ProcessState)
		}
	}
	one := sleeper(t, m, m.Path(p)+"/cri-containerd-aaa.scope", "sleep", "1000")
	nested := sleeper(t, m, m.Path(p)+"/bbb/init/deep", "sleep", "1000")
	deaf := sleeper(t, m, m.Path(p)+"/bbb", "sh", "-c", "trap '' TERM; while :; do sleep 0.01; done")
	if found, left := m.KillContainer(p, "aaa"); found != 1 || left != 0 {
		t.Errorf("of one container: found %d, left %d", found, left)
	}
	dead(one)
	if found, _ := m.KillContainer(p, ""); found != 0 {
		t.Errorf("of a container without a name: found %d", found)
	}
	if err := nested.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another container's process: %v", err)
	}
	frozen := sleeper(t, m, m.Path(p)+"/ccc", "sleep", "1000")
	if dir, ok := m.dirs(m.Path(p) + "/ccc")["freezer"]; ok {
		if err := os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("FROZEN"), 0); err != nil {
			t.Fatal(err)
		}
	} else if m.unified {
		if err := os.WriteFile(filepath.Join(m.dirs(m.Path(p) + "/ccc")[""], "cgroup.freeze"), []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	if found, left := m.Kill(p); found < 3 || left != 0 {
		t.Errorf("found %d, left %d after %v", found, left, time.Since(begun))
	}
	dead(nested)
	dead(deaf)
	dead(frozen)
	if found, left := (&Manager{off: true}).Kill(p); found != 0 || left != 0 {
		t.Errorf("without groups: found %d, left %d", found, left)
	}
}
