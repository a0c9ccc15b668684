package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// local is a persistent volume that is a directory, or a block device, of the machine.
type local struct{}

func (local) has(pv *corev1.PersistentVolume) bool { return pv.Spec.Local != nil }

// mountPersistent binds the directory to a place of the pod's own. Its owner is changed by the first pod that has it only: others would
// find their files changed under them.
func (local) mountPersistent(_ context.Context, m mounting, pv *corev1.PersistentVolume, readOnly bool) (Mounted, error) {
	path := pv.Spec.Local.Path
	if path == "" {
		return Mounted{}, fmt.Errorf("LocalVolume volume %q path is empty", pv.Name)
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		return Mounted{}, fmt.Errorf("invalid path: %s must not contain '..'", path)
	}
	if m.src.Make != nil {
		if err := m.src.Make(pv); err != nil {
			return Mounted{}, err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return Mounted{}, fmt.Errorf("path %q does not exist", path)
	}
	device := info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0
	if pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		if !device {
			return Mounted{}, fmt.Errorf("%s is not a block device", path)
		}
		return Mounted{Device: path, ReadOnly: readOnly}, nil
	}
	if !info.IsDir() {
		return Mounted{}, errors.New("only directories are mounted: a block device is for volumeMode Block")
	}
	dir := m.persistentDir("local-volume", pv)
	others, err := m.bindOnce(path, dir, readOnly, pv.Spec.MountOptions)
	if err != nil {
		return Mounted{}, err
	}
	if others >= 0 && !readOnly {
		if err := m.give(pv, path, dir, others); err != nil {
			return Mounted{}, err
		}
	}
	return Mounted{Path: dir, ReadOnly: readOnly}, nil
}

// bindOnce binds path to dir unless that is mounted already, which it tells by -1. Else it returns how many other pods have path.
func (m mounting) bindOnce(path, dir string, readOnly bool, options []string) (others int, err error) {
	if mounted, err := mountsBelow(dir); err != nil || slices.Contains(mounted, dir) {
		return -1, err
	}
	if others, err = m.bindsOf(path); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, err
	}
	if err := unix.Mount(path, dir, "", unix.MS_BIND, ""); err != nil {
		return 0, fmt.Errorf("bind %s: %w", path, err)
	}
	flags := uintptr(0)
	for _, o := range options {
		flags |= mountFlags[o]
	}
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if flags != 0 {
		if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""); err != nil {
			_ = unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)
			return 0, fmt.Errorf("remount %s: %w", dir, err)
		}
	}
	return others, nil
}

// mountFlags are the mount options that a bind can have of its own.
var mountFlags = map[string]uintptr{
	"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
	"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
}

// bindsOf counts the directories of pods that show path.
func (m mounting) bindsOf(path string) (int, error) {
	var want unix.Stat_t
	if err := unix.Stat(path, &want); err != nil {
		return 0, err
	}
	mounted, err := mountsBelow(m.pods)
	n := 0
	for _, at := range mounted {
		var st unix.Stat_t
		if strings.Contains(at, "/volumes/kubernetes.io~") && unix.Stat(at, &st) == nil && st.Dev == want.Dev && st.Ino == want.Ino {
			n++
		}
	}
	return n, err
}

// give lets the pod's fsGroup have a volume, unless other pods have it already.
func (m mounting) give(pv *corev1.PersistentVolume, path, dir string, others int) error {
	gid := fsGroup(m.pod)
	if gid == nil {
		return nil
	}
	if others == 0 {
		return m.ownPersistent(dir, *gid)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("failed to check fsGroup for %s (%v)", path, err)
	}
	if int64(st.Gid) != *gid && m.src.Event != nil {
		m.src.Event(m.pod, corev1.EventTypeWarning, "AlreadyMountedVolume",
			"The requested fsGroup is %d, but the volume %s has GID %d. The volume may not be shareable.", *gid, pv.Name, st.Gid)
	}
	return nil
}

func (hostPath) has(pv *corev1.PersistentVolume) bool { return pv.Spec.HostPath != nil }

// mountPersistent shows a path of the machine as it is, whose owners nobody changes.
func (hostPath) mountPersistent(_ context.Context, _ mounting, pv *corev1.PersistentVolume, readOnly bool) (Mounted, error) {
	if pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		return Mounted{}, errors.New("no block volume plugin matched")
	}
	return Mounted{Path: pv.Spec.HostPath.Path, ReadOnly: readOnly}, checkHostPath(pv.Spec.HostPath)
}
