package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Advice is what to do about an error of a command, where its kind tells; the error itself says what was tried, and on what.
func Advice(err error) string {
	for _, kind := range []struct {
		is   bool
		then func(error) string
	}{
		{errors.Is(err, fs.ErrPermission), permitted},
		{errors.Is(err, syscall.EADDRINUSE), func(error) string {
			return "another process has this port ('ss -ltnp' names it): stop that one, or take another port with --listen ADDRESS:PORT"
		}},
		{errors.Is(err, syscall.EADDRNOTAVAIL), func(error) string {
			return "no link of this machine has this address ('ip address' lists those there are): take one of them, or 0.0.0.0, with --listen"
		}},
		{errors.Is(err, syscall.ENOSPC), func(error) string {
			return "the disk is full, or has no inodes left ('df', 'df -i'): make room, or take another place with --data-dir"
		}},
		{errors.Is(err, syscall.EROFS), func(error) string {
			return "this file system can only be read: mount it for writing, or take another place with --data-dir"
		}},
		{errors.Is(err, syscall.EIO), func(error) string {
			return "the disk does not read or write ('dmesg' says more): repair or replace it, or restore a backup to another --data-dir"
		}},
		{errors.Is(err, syscall.ENOTDIR), func(error) string {
			return "a part of this path is a file: move it away, or take another place with --data-dir"
		}},
		{errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE), func(error) string {
			return "no more files can be opened: raise the limit ('ulimit -n', or fs.file-max)"
		}},
		{noRuntime(err), func(error) string {
			return "nobody answers at this socket: is the node running? 'sampan up' starts it; --data-dir and --container-runtime-endpoint say which"
		}},
		{errors.Is(err, syscall.ECONNREFUSED), func(error) string {
			return "nobody listens at this address: is the cluster running? 'sampan up --data-dir DIR' starts it"
		}},
		{unreachable(err), func(error) string {
			return "there is no way to this address: check it, the route to it, and packet filters between"
		}},
	} {
		if kind.is {
			return kind.then(err)
		}
	}
	return ""
}

func noRuntime(err error) bool {
	text := err.Error() // gRPC hands on words only
	return strings.Contains(text, "dial unix")
}

func unreachable(err error) bool {
	var slow interface{ Timeout() bool }
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.ETIMEDOUT) || errors.As(err, &slow) && slow.Timeout()
}

// permitted says whose what could not be opened is, and how to get along.
func permitted(err error) string {
	if os.Geteuid() == 0 {
		return "even root may not: is the file immutable ('lsattr'), or is this a container without the capability?"
	}
	var at *fs.PathError
	place := "it"
	if errors.As(err, &at) {
		place = owner(at.Path)
	}
	return fmt.Sprintf("%s, and you are user %d: say 'sudo sampan …', or take a place of your own: --data-dir ~/.local/share/sampan", place, os.Geteuid())
}

// owner describes the nearest part of a path that can be looked at.
func owner(path string) string {
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if st, ok := sysStat(info); err == nil && ok {
			return fmt.Sprintf("%s is user %d's (%s)", dir, st.Uid, info.Mode())
		}
		if dir == filepath.Dir(dir) {
			return path + " is somebody else's"
		}
	}
}

func sysStat(info fs.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}
