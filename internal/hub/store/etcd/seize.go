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
func seizeFiles(dir string) {
	replaceFiles(dir, func(fd int, path string) (string, bool) {
		if !isData(path) {
			return "", false
		}
		unlock := unix.Flock_t{Type: unix.F_UNLCK}
		_ = unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unlock)
		_ = unix.Flock(fd, unix.LOCK_UN)
		return filepath.Join("/proc/self/fd", strconv.Itoa(fd)), true
	})
}

// dropFiles lets go of all files and directories that a failed member still has open once it has stopped, or was given up: in the
// place of each descriptor comes the null device. Etcd does not close its log where the last sync of it fails, and a descriptor that
// is left would keep the file system from being unmounted. None is closed, because etcd may yet close it, when its number would be
// another file's. No other member may have been opened on dir.
func dropFiles(dir string) {
	replaceFiles(dir, func(int, string) (string, bool) { return os.DevNull, true })
}

// replaceFiles puts other files in the places of the descriptors below the member's directory. By says for each what is to be opened,
// for reading, in its place, if anything; the null device where that cannot be opened.
//
// The descriptors are etcd's, which hands none of them out, so they are found by the names that the kernel has for them.
func replaceFiles(dir string, by func(fd int, path string) (string, bool)) {
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
		if err != nil || !strings.HasPrefix(path, filepath.Join(dir, "member")+"/") {
			continue
		}
		other, ok := by(fd, path)
		if !ok {
			continue
		}
		harmless, err := unix.Open(other, unix.O_RDONLY|unix.O_CLOEXEC, 0)
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

// isData recognises the member's database and the files of its log, the one to come included.
func isData(path string) bool {
	name := filepath.Base(strings.TrimSuffix(path, " (deleted)"))
	return name == "db" || strings.HasSuffix(name, ".wal") || strings.HasSuffix(name, ".tmp")
}
