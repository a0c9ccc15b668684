package place

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/vishvananda/netns"
)

// NamedNamespaces is where network namespaces have names, for this program, iproute2 and all others.
const NamedNamespaces = "/run/netns"

// DeleteNamed removes a named namespace. None is no error.
func DeleteNamed(name string) error {
	err := netns.DeleteNamed(name)
	if errors.Is(err, syscall.EBUSY) {
		err = removeCovered(filepath.Join(NamedNamespaces, name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// InNetns calls f with handles of this thread's namespace and the named one, which it makes if asked to. f may change the
// thread's namespace only on a thread that its caller has locked for good.
func InNetns(name string, create bool, f func(host, own netns.NsHandle) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	host, err := netns.Get()
	if err != nil {
		return err
	}
	defer host.Close()
	own, err := netns.GetFromName(name)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := shareNamedNamespaces(NamedNamespaces); err != nil {
			return err
		}
		own, err = netns.NewNamed(name) // moves this thread into it
		if err == nil {
			err = netns.Set(host)
		}
	}
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	defer own.Close()
	return f(host, own)
}
