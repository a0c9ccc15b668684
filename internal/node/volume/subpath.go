package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

// beneath refuses every way out of the directory a lookup starts in: .., absolute links, magic links.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS

// Subpath makes sub of a volume mountable by itself and returns the path to mount. A container of the pod may change the
// volume at any time, so the path is resolved once, under the kernel's guarantee not to leave the volume, and what it led
// to is bound to a place that containers cannot reach. Missing directories are made with the volume's own mode.
func (m *Manager) Subpath(uid types.UID, volume, container string, index int, root, sub string) (string, error) {
	if filepath.IsAbs(sub) {
		return "", fmt.Errorf("error SubPath `%s` must not be an absolute path", sub)
	}
	for _, part := range strings.Split(sub, "/") {
		if part == ".." {
			return "", fmt.Errorf("unable to provision SubPath `%s`: must not contain '..'", sub)
		}
	}
	base, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open volume: %w", err)
	}
	defer unix.Close(base)
	fd, err := openBeneath(base, sub)
	if errors.Is(err, unix.ENOENT) {
		if err = makeBeneath(base, sub); err == nil {
			fd, err = openBeneath(base, sub)
		}
	}
	if err != nil {
		return "", fmt.Errorf("resolve %s in volume: %w", sub, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	target := filepath.Join(m.pods, string(uid), "volume-subpaths", volume, container, strconv.Itoa(index))
	return target, bind(fd, st.Mode&unix.S_IFMT == unix.S_IFDIR, target)
}

func openBeneath(dir int, path string) (int, error) {
	return unix.Openat2(dir, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: beneath})
}

// makeBeneath makes the directories of path, each looked up anew from its parent's descriptor.
func makeBeneath(base int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(base, &st); err != nil {
		return err
	}
	dir, err := unix.Dup(base)
	if err != nil {
		return err
	}
	defer func() { unix.Close(dir) }()
	for _, part := range strings.Split(filepath.Clean(path), "/") {
		next, err := openBeneath(dir, part)
		if errors.Is(err, unix.ENOENT) {
			if err := unix.Mkdirat(dir, part, st.Mode&0o7777); err != nil && !errors.Is(err, unix.EEXIST) {
				return err
			}
			if next, err = unix.Openat2(dir, part, &unix.OpenHow{Flags: unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: beneath}); err == nil {
				// mkdir minds the umask and drops setgid; owner and mode are to be the volume's
				_ = unix.Fchown(next, -1, int(st.Gid))
				err = unix.Fchmod(next, st.Mode&0o7777)
			}
		}
		if err != nil {
			return err
		}
		unix.Close(dir)
		dir = next
	}
	return nil
}

// bind mounts what fd leads to at target, replacing what was bound there.
func bind(fd int, isDir bool, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	for unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) == nil { // from an earlier start of the container
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if isDir {
		if err := os.Mkdir(target, 0o750); err != nil {
			return err
		}
	} else {
		f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL, 0o640)
		if err != nil {
			return err
		}
		f.Close()
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind sub-path: %w", err)
	}
	return nil
}
