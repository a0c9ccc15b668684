package etcd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// seizeFiles takes the database and the log of a failed member away from it: in the place of each descriptor comes one that
// cannot be written. A write after the failure would do harm: a record of the log behind one that is torn, or an index in the
// database of entries that it lacks. It also gives up the locks, which would keep the next member out.
//
// The descriptors are etcd's, which hands none of them out, so they are found by the names that the kernel has for them.
func seizeFiles(dir string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		link := filepath.Join("/proc/self/fd", e.Name())
		path, err := os.Readlink(link)
		if err != nil || !isData(dir, path) {
			continue
		}
		unlock := unix.Flock_t{Type: unix.F_UNLCK}
		_ = unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unlock)
		_ = unix.Flock(fd, unix.LOCK_UN)
		harmless, err := unix.Open(link, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			if harmless, err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
				continue
			}
		}
		if still, err := os.Readlink(link); err == nil && still == path {
			_ = unix.Dup3(harmless, fd, unix.O_CLOEXEC)
		}
		_ = unix.Close(harmless)
	}
}

// isData recognises the member's database and the files of its log, the one to come included, below dir.
func isData(dir, path string) bool {
	path = strings.TrimSuffix(path, " (deleted)")
	if !strings.HasPrefix(path, filepath.Join(dir, "member")+"/") {
		return false
	}
	name := filepath.Base(path)
	return name == "db" || strings.HasSuffix(name, ".wal") || strings.HasSuffix(name, ".tmp")
}
