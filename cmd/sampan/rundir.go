package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// makeRunDir makes the directory of what a reboot takes away, in memory: where /run is a disk's, as in some containers and
// small machines, a tmpfs is mounted on it. The runtime makes some thirty files there for every pod, and syncs a few.
func makeRunDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	var st unix.Statfs_t
	if os.Geteuid() != 0 || unix.Statfs(dir, &st) != nil || st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC {
		return nil
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return nil // in use: what is there must stay in sight
	}
	_ = unix.Mount("sampan", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700") // a disk does as well
	return nil
}

// removeRunDir removes the directory with all that is in it.
func removeRunDir(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return os.RemoveAll(dir)
}
