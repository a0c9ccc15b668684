package volume

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

// Unmount takes away everything that is mounted below a pod's directory, and the volumes themselves.
func (m *Manager) Unmount(uid types.UID) error {
	m.tokens.forget(uid)
	m.bound.forget(uid)
	dir := filepath.Join(m.pods, string(uid))
	if m.src.CSI != nil { // what containers had mounted of a driver's volumes first: it keeps them in use
		if err := UnmountBelow(filepath.Join(dir, "volume-subpaths")); err != nil {
			return fmt.Errorf("unmount volumes of pod %s: %w", uid, err)
		}
		if err := m.src.CSI.Unmount(uid); err != nil {
			return fmt.Errorf("unmount volumes of pod %s: %w", uid, err)
		}
	}
	if err := UnmountBelow(dir); err != nil {
		return fmt.Errorf("unmount volumes of pod %s: %w", uid, err)
	}
	for _, part := range []string{"volumes", "volume-subpaths"} {
		if err := os.RemoveAll(filepath.Join(dir, part)); err != nil {
			return fmt.Errorf("remove volumes of pod %s: %w", uid, err)
		}
	}
	return nil
}

// UnmountBelow unmounts all mounts at and below dir, innermost first, and fails if any is left: what comes next is to
// delete the directory, which must never reach into somebody's file system.
func UnmountBelow(dir string) error {
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i], unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL {
			if err := unix.Unmount(mounts[i], unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH); err != nil && err != unix.EINVAL {
				return fmt.Errorf("unmount %s: %w", mounts[i], err)
			}
		}
	}
	if mounts, err = mountsBelow(dir); err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s is still mounted", mounts[0])
	}
	return nil
}

// mountsBelow lists mount points in the order they were mounted.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) < 5 {
			continue
		}
		p := unescape(fields[4])
		if p == dir || strings.HasPrefix(p, dir+"/") {
			out = append(out, p)
		}
	}
	return out, sc.Err()
}

// unescape undoes mountinfo's octal escapes (\040 is a space).
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
