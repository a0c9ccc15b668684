package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"sampan.dev/internal/config"

	"golang.org/x/sys/unix"
)

// runMount is the name of the memory that is mounted on the run directory.
const runMount = "sampan"

const runMode = 0o711

// MakeRunDir makes the directory of what a reboot takes away, in memory: where /run is a disk's, as in some containers and
// small machines, a tmpfs is mounted on it. The runtime makes some thirty files there for every pod, and syncs a few. Everybody may go
// through it, as the roots of pods with users of their own must on the way to their file systems; what is in it guards itself.
func MakeRunDir(dir string) error {
	if err := os.MkdirAll(dir, runMode); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	if err := os.Chmod(dir, runMode); err != nil { // an earlier build made it narrower
		return fmt.Errorf("make %s: %w", dir, err)
	}
	var st unix.Statfs_t
	if os.Geteuid() != 0 || unix.Statfs(dir, &st) != nil || st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC {
		return nil
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return nil // in use: what is there must stay in sight
	}
	_ = unix.Mount(runMount, dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711") // a disk does as well
	return nil
}

// RemoveRunDir removes the directory with all that is in it, and what makeRunDir mounted there. What somebody else mounted
// is theirs, and emptied.
func RemoveRunDir(dir string) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(all) {
		if m.target != dir || m.fsType != "tmpfs" || m.source != runMount {
			continue
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
	}
	return RemoveTree(dir)
}

// podDirs are the directories in which every pod or container has one of its own, with the modes they are made with.
func podDirs(paths config.Paths) map[string]fs.FileMode {
	containerd := filepath.Join(paths.Data, "containerd")
	return map[string]fs.FileMode{
		filepath.Join(containerd, "io.containerd.snapshotter.v1.overlayfs/snapshots"): 0o700,
		filepath.Join(containerd, "io.containerd.grpc.v1.cri/sandboxes"):              0o755,
		filepath.Join(containerd, "io.containerd.grpc.v1.cri/containers"):             0o755,
		filepath.Join(containerd, "io.containerd.runtime.v2.task/k8s.io"):             0o711,
		filepath.Join(containerd, "io.containerd.sandbox.controller.v1.shim/k8s.io"):  0o711,
		filepath.Join(paths.KubeletRoot, "pods"):                                      0o750,
		paths.PodLogs:                                                                 0o755,
	}
}

// SpreadPodDirs tells ext4 that what is in these directories is not related, so that it puts the directories of pods into
// different parts of the disk (chattr +T). Otherwise all of them share one table of inodes, and where there is no journal a new
// inode is looked for past all those that were freed within the last minutes: with pods coming and going, a fifth of the
// CPU that it takes to start one. Other file systems have no such hint, and nobody depends on it.
func SpreadPodDirs(paths config.Paths) {
	for dir, mode := range podDirs(paths) {
		if os.MkdirAll(dir, mode) != nil {
			continue
		}
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		var st unix.Statfs_t
		if unix.Fstatfs(int(f.Fd()), &st) == nil && st.Type == unix.EXT4_SUPER_MAGIC {
			if flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&topDir == 0 {
				_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|topDir)
			}
		}
		f.Close()
	}
}

const topDir = 0x00020000 // FS_TOPDIR_FL of linux/fs.h
