package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// nfs is a share of an NFS server, which the machine's own mount.nfs mounts: it must be installed, as for upstream's kubelet.
type nfs struct{ alone }

func (nfs) handles(v *corev1.Volume) bool { return v.NFS != nil }

func (nfs) mount(ctx context.Context, m mounting) (Mounted, error) {
	s := m.volume.NFS
	return m.mountNFS(ctx, m.dir("nfs"), s.Server, s.Path, s.ReadOnly, nil)
}

func (nfs) has(pv *corev1.PersistentVolume) bool { return pv.Spec.NFS != nil }

func (nfs) mountPersistent(ctx context.Context, m mounting, pv *corev1.PersistentVolume, readOnly bool) (Mounted, error) {
	s := pv.Spec.NFS
	return m.mountNFS(ctx, m.persistentDir("nfs", pv), s.Server, s.Path, readOnly || s.ReadOnly, pv.Spec.MountOptions)
}

func (m mounting) mountNFS(ctx context.Context, dir, server, path string, readOnly bool, options []string) (Mounted, error) {
	done := Mounted{Path: dir, ReadOnly: readOnly}
	if mounted, err := mountsBelow(dir); err != nil || slices.Contains(mounted, dir) {
		return done, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Mounted{}, err
	}
	if strings.Contains(server, ":") && !strings.HasPrefix(server, "[") {
		server = "[" + server + "]"
	}
	args := []string{"-t", "nfs"}
	if readOnly {
		options = append(slices.Clone(options), "ro")
	}
	if len(options) > 0 {
		args = append(args, "-o", strings.Join(options, ","))
	}
	args = append(args, "--", server+":"+path, dir)
	out, err := exec.CommandContext(ctx, "mount", args...).CombinedOutput()
	if err == nil {
		return done, nil
	}
	_ = unix.Rmdir(dir)
	if errors.Is(err, exec.ErrNotFound) {
		return Mounted{}, fmt.Errorf("mount failed: %w", err)
	}
	return Mounted{}, fmt.Errorf("mount failed: %w\nMounting command: mount\nMounting arguments: %s\nOutput: %s", err, strings.Join(args, " "), out)
}
