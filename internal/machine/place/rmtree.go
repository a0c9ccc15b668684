package place

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a mounted file system, as /proc/self/mountinfo has it.
type mount struct {
	target, fsType, source string
}

// mounts lists those of this namespace, in the order in which they were mounted.
func mounts() ([]mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var out []mount
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20) // options may be long
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(rest) < 2 {
			continue
		}
		out = append(out, mount{unescape.Replace(fields[4]), rest[0], unescape.Replace(rest[1])})
	}
	return out, lines.Err()
}

// RemoveTree removes a directory of ours with all that is in it. One that somebody mounted a disk on, or made a link to, is
// emptied: the place is theirs. So is what stands in the way below it, unless it cannot be emptied.
func RemoveTree(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(dir) // a link to nowhere, perhaps
	}
	if err != nil {
		return err
	}
	if real == filepath.Clean(dir) || !isLink(dir) {
		err = removeAllPatiently(real)
	} else {
		err = removeContent(real)
	}
	if err == nil {
		return nil
	}
	all, merr := mounts()
	if merr != nil {
		return errors.Join(err, merr)
	}
	left := ""
	_ = filepath.WalkDir(real, func(path string, _ fs.DirEntry, werr error) error {
		leads := slices.ContainsFunc(all, func(m mount) bool { return m.target == path || strings.HasPrefix(m.target, path+"/") })
		if left == "" && !leads && !errors.Is(werr, fs.ErrNotExist) {
			left = path
		}
		return nil
	})
	if left == "" {
		return nil
	}
	return fmt.Errorf("%w (%s is left)", err, left)
}

func isLink(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode()&fs.ModeSymlink != 0
}

func removeContent(dir string) error {
	entries, err := os.ReadDir(dir)
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}

// unmountBelow lazily unmounts everything mounted below the directories, the last mounted first.
func unmountBelow(dirs ...string) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	for i, d := range dirs { // the kernel knows no links
		if real, err := filepath.EvalSymlinks(d); err == nil {
			dirs[i] = real
		}
	}
	var errs []error
	for _, m := range slices.Backward(all) {
		if !slices.ContainsFunc(dirs, func(d string) bool { return strings.HasPrefix(m.target, d+"/") }) {
			continue
		}
		if err := unix.Unmount(m.target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.target, err))
		}
	}
	return errors.Join(errs...)
}

// removeCovered removes a file that a mount keeps in its place which cannot be reached, since something was mounted over its
// folder later: in a mount namespace where neither is, it can be removed, and the kernel lets go of the mounts on it everywhere.
func removeCovered(path string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, in its namespace, ends with this goroutine
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			dir := filepath.Dir(path)
			for range 100 { // layers
				errFile := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
				if errFile == nil {
					continue
				}
				if err := os.Remove(path); err == nil || !errors.Is(err, unix.EBUSY) && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
					return nil
				}
			}
			return fmt.Errorf("%s: too many mounts", path)
		}()
	}()
	return <-done
}

// shareNamedNamespaces makes the folder of named network namespaces a shared mount, as iproute2 does before it makes its first.
// One that was made before that would be covered by iproute2's mount, and could not be removed any more.
func shareNamedNamespaces(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount yet
		if err = unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", dir, err)
	}
	return nil
}
