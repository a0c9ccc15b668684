package main

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3"
	libcgroups "github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/systemd"
	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// inSlice reports whether a pod's group is a slice of systemd's, by its name, as containerd finds it out. What runs in the pod then runs in
// scopes that systemd makes: in a slice nobody else is to make groups.
func inSlice(parent string) bool { return strings.HasSuffix(parent, ".slice") }

// joinScope has systemd move a process into a scope of its own below a slice. The scope goes when the process has ended.
func joinScope(slice, id string, pid int) error {
	group := &libcgroups.Cgroup{Systemd: true, Parent: path.Base(slice), Name: id, ScopePrefix: "cri-containerd",
		Resources: &libcgroups.Resources{SkipDevices: true, SkipFreezeOnSet: true}}
	if cgroups.Mode() == cgroups.Unified {
		m, err := systemd.NewUnifiedManager(group, "")
		if err != nil {
			return err
		}
		return m.Apply(pid)
	}
	m, err := systemd.NewLegacyManager(group, nil)
	if err != nil {
		return err
	}
	return m.Apply(pid)
}

// ownCgroup makes a cgroup of the given name below parent and opens it, for a process to be started in. That is for version 2, where
// only the leaves of the tree may have processes. In version 1 the process joins parent itself (joinCgroups): the results are "" and
// nil then, and where parent is "" or a slice.
func ownCgroup(parent, name string) (string, *os.File, error) {
	if parent == "" || inSlice(parent) || cgroups.Mode() != cgroups.Unified {
		return "", nil, nil
	}
	dir := filepath.Join(cgroupRoot, parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", nil, err
	}
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		removeCgroup(dir)
		return "", nil, err
	}
	return dir, f, nil
}

// joinCgroups moves the process of a sandbox into the pod's cgroup of that name, in each hierarchy of version 1 that has one, or into a scope
// below it where that is a slice.
func joinCgroups(name, id string, pid int) error {
	if inSlice(name) {
		return joinScope(name, id, pid)
	}
	if name == "" || cgroups.Mode() == cgroups.Unified {
		return nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return err
	}
	for _, e := range entries {
		procs := filepath.Join(cgroupRoot, e.Name(), name, "cgroup.procs")
		f, err := os.OpenFile(procs, os.O_WRONLY, 0)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			continue
		case err != nil:
			return err
		}
		_, err = f.WriteString(strconv.Itoa(pid))
		f.Close()
		if err != nil && e.Name() != "unified" {
			return err
		}
	}
	return nil
}

// removeCgroup removes a cgroup whose process has ended or was never started; for "" it does nothing.
func removeCgroup(dir string) {
	if dir == "" {
		return
	}
	for range 10 { // the kernel may count a process for a moment after its parent saw it end
		if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
