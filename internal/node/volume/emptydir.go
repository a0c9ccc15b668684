package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	corev1 "k8s.io/api/core/v1"
)

// emptyDir is a directory of the pod's own, on the disk or in memory, which is empty at first.
type emptyDir struct{ alone }

func (emptyDir) handles(v *corev1.Volume) bool { return v.EmptyDir != nil }

func (emptyDir) mount(_ context.Context, m mounting) (Mounted, error) {
	v, dir := m.volume.EmptyDir, m.dir("empty-dir")
	_, err := os.Stat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return Mounted{}, err
	}
	switch v.Medium {
	case corev1.StorageMediumDefault:
	case corev1.StorageMediumMemory:
		size := int64(0)
		if m.src.MemorySize != nil {
			size = m.src.MemorySize(m.pod, v)
		}
		if !isMountPoint(dir) {
			fresh = true
		}
		if err := ensureTmpfs(dir, size); err != nil {
			return Mounted{}, err
		}
	default:
		return Mounted{}, fmt.Errorf("unknown storage medium %q", v.Medium)
	}
	if !fresh { // a container may have changed the mode, and may
		return Mounted{Path: dir}, nil
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		return Mounted{}, err
	}
	if gid := fsGroup(m.pod); gid != nil {
		if err := own(dir, *gid, false); err != nil {
			return Mounted{}, err
		}
	}
	return Mounted{Path: dir}, nil
}
