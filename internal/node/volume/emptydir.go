package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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
	switch {
	case v.Medium == corev1.StorageMediumDefault:
	case isHugePages(v.Medium):
		size, err := pageSize(v.Medium, m.pod)
		if err != nil {
			return Mounted{}, err
		}
		if !isMountPoint(dir) {
			fresh = true
		}
		if err := ensureHugePages(dir, size); err != nil {
			return Mounted{}, err
		}
	case v.Medium == corev1.StorageMediumMemory:
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

// pageSize is the size of the pages of a volume in huge pages: that which its medium names, or the only one that the pod asks for.
func pageSize(medium corev1.StorageMedium, pod *corev1.Pod) (string, error) {
	var wanted *resource.Quantity
	if name, ok := strings.CutPrefix(string(medium), string(corev1.StorageMediumHugePagesPrefix)); ok {
		q, err := resource.ParseQuantity(name)
		if err != nil {
			return "", err
		}
		wanted = &q
	}
	var found *resource.Quantity
	for _, list := range requests(pod) {
		for name := range list {
			text, ok := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix)
			if !ok {
				continue
			}
			size, err := resource.ParseQuantity(text)
			switch {
			case err != nil:
				return "", err
			case wanted != nil && size.Cmp(*wanted) != 0:
				continue
			case found != nil && size.Cmp(*found) != 0:
				return "", fmt.Errorf("medium: %s can't be used if container requests multiple huge page sizes", medium)
			}
			found = &size
		}
	}
	if found == nil {
		return "", fmt.Errorf("medium %s: hugePages storage requested, but there is no resource request for huge pages", medium)
	}
	return found.String(), nil
}

// requests are what a pod and each of its containers ask for. Requests of huge pages are their limits.
func requests(pod *corev1.Pod) (out []corev1.ResourceList) {
	if r := pod.Spec.Resources; r != nil {
		out = append(out, r.Requests)
	}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			out = append(out, list[i].Resources.Requests)
		}
	}
	return out
}

// isHugePages reports whether a medium is huge pages, of a size that it names or not.
func isHugePages(medium corev1.StorageMedium) bool {
	return medium == corev1.StorageMediumHugePages || strings.HasPrefix(string(medium), string(corev1.StorageMediumHugePagesPrefix))
}

// ensureHugePages mounts a file system in huge pages on dir, unless there is one. Size is that of its pages: "2Mi".
func ensureHugePages(dir, size string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	q, err := resource.ParseQuantity(size)
	if err != nil {
		return err
	}
	if st.Type == unix.HUGETLBFS_MAGIC && isMountPoint(dir) {
		if st.Bsize != q.Value() {
			return fmt.Errorf("mounted dir %s pagesize %d and requested medium size '%s' differ", dir, st.Bsize, size)
		}
		return nil
	}
	if err := unix.Mount("nodev", dir, "hugetlbfs", 0, fmt.Sprintf("pagesize=%d", q.Value())); err != nil {
		return fmt.Errorf("mount hugetlbfs: %w", err)
	}
	return nil
}
