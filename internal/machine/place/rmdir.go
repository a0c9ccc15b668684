package place

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long what was killed may take to be gone. It takes milliseconds, and on a machine that is busy with other things
// thousands of them.
const patience = 30 * time.Second

// removeAllPatiently removes a directory in which something that was just killed may still make files.
func removeAllPatiently(dir string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := os.RemoveAll(dir)
		if err == nil || !errors.Is(err, unix.ENOTEMPTY) || time.Now().After(deadline) {
			return err
		}
	}
}

// rmdirPatiently removes a cgroup directory, waiting a little for its last process to be reaped: v1 has no event for that.
func rmdirPatiently(dir string) error {
	deadline := time.Now().Add(patience)
	for {
		err := unix.Rmdir(dir)
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Now().After(deadline):
			return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		time.Sleep(20 * time.Millisecond)
	}
}
