package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// podFiles is where the files lie that all containers of a pod mount. Containerd writes these paths into their specifications.
type podFiles struct {
	dir      string // hostname, hosts, resolv.conf
	volatile string // shm, a file system in memory
}

// shmSize is the size of every pod's /dev/shm; every runtime gives this much.
const shmSize = 64 << 20

// podFilesOf returns the paths of a sandbox's files. Root and state are the directories of those names of containerd's CRI plugin.
func podFilesOf(root, state, id string) podFiles {
	return podFiles{dir: filepath.Join(root, "sandboxes", id), volatile: filepath.Join(state, "sandboxes", id)}
}

// write makes the files, and mounts shm unless the pod shares the host's.
func (f podFiles) write(c *podConfig) error {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return err
	}
	hostname := c.hostname
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return err
		}
	}
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	resolv, err := resolvConf(c)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"hostname": hostname + "\n", "hosts": string(hosts), "resolv.conf": resolv} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if c.ipc == nodeMode {
		return nil
	}
	shm := filepath.Join(f.volatile, "shm")
	if err := os.MkdirAll(shm, 0o700); err != nil {
		return err
	}
	return unix.Mount("shm", shm, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=1777,size=%d", shmSize))
}

// unmount frees the memory of shm. It may be called again.
func (f podFiles) unmount() error {
	err := unix.Unmount(filepath.Join(f.volatile, "shm"), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == unix.EINVAL || err == unix.ENOENT { // not mounted, or never made
		return nil
	}
	return err
}

// remove removes the files of a sandbox whose shm is unmounted.
func (f podFiles) remove() error {
	return errors.Join(os.RemoveAll(f.dir), os.RemoveAll(f.volatile))
}

// resolvConf is the text of resolv.conf: what the pod's configuration says, or the host's where it says nothing.
func resolvConf(c *podConfig) (string, error) {
	if !c.dns {
		text, err := os.ReadFile("/etc/resolv.conf")
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return string(text), err
	}
	var out strings.Builder
	if len(c.searches) > 0 {
		fmt.Fprintf(&out, "search %s\n", strings.Join(c.searches, " "))
	}
	for _, server := range c.servers {
		fmt.Fprintf(&out, "nameserver %s\n", server)
	}
	if len(c.options) > 0 {
		fmt.Fprintf(&out, "options %s\n", strings.Join(c.options, " "))
	}
	return out.String(), nil
}
