package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	corev1 "k8s.io/api/core/v1"
)

// hostPath is a file or directory of the machine, which stays when the pod goes.
type hostPath struct{ alone }

func (hostPath) handles(v *corev1.Volume) bool { return v.HostPath != nil }

func (hostPath) mount(_ context.Context, m mounting) (Mounted, error) {
	return Mounted{Path: m.volume.HostPath.Path}, checkHostPath(m.volume.HostPath)
}

// checkHostPath verifies or makes what the type of a hostPath asks for.
func checkHostPath(v *corev1.HostPathVolumeSource) error {
	if v.Type == nil || *v.Type == corev1.HostPathUnset {
		return nil
	}
	info, err := os.Stat(v.Path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	switch *v.Type {
	case corev1.HostPathDirectoryOrCreate:
		if missing {
			return os.MkdirAll(v.Path, 0o755)
		}
		return hostPathIs(v.Path, info.IsDir(), "a directory")
	case corev1.HostPathFileOrCreate:
		if missing {
			f, err := os.OpenFile(v.Path, os.O_CREATE, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}
		return hostPathIs(v.Path, !info.IsDir(), "a file")
	case corev1.HostPathDirectory:
		return hostPathIs(v.Path, !missing && info.IsDir(), "a directory")
	case corev1.HostPathFile:
		return hostPathIs(v.Path, !missing && info.Mode().IsRegular(), "a file")
	case corev1.HostPathSocket:
		return hostPathIs(v.Path, !missing && info.Mode()&fs.ModeSocket != 0, "a socket file")
	case corev1.HostPathCharDev:
		return hostPathIs(v.Path, !missing && info.Mode()&fs.ModeCharDevice != 0, "a character device")
	case corev1.HostPathBlockDev:
		return hostPathIs(v.Path, !missing && info.Mode()&fs.ModeDevice != 0 && info.Mode()&fs.ModeCharDevice == 0, "a block device")
	}
	return fmt.Errorf("%s is an invalid volume type", *v.Type)
}

func hostPathIs(path string, ok bool, what string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("hostPath type check failed: %s is not %s", path, what)
}
