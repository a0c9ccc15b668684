package main

import (
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// rmdirPatiently removes a cgroup directory, waiting a little for its last process to be reaped: v1 has no event for that.
func rmdirPatiently(dir string) error {
	deadline := time.Now().Add(3 * time.Second)
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
