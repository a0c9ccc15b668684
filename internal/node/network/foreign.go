package network

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// useConf makes the runtime use the foreign configuration, if there is one now, and ours otherwise. Pods that have ours keep
// their links and rules.
func (n *Network) useConf() error {
	n.confMu.Lock()
	defer n.confMu.Unlock()
	cidr, _ := n.current()
	if !cidr.IsValid() {
		return nil // setup will see to it
	}
	foreign := foreignConf(n.cfg.ForeignDir)
	if foreign != "" {
		if n.foreign != foreign {
			n.log.Info("stepping back for another network", "conf", foreign)
		}
		n.foreign = foreign
		return linkConf(n.cfg.ConfDir, foreign) // anew, so that the runtime reads what may have changed in it
	}
	if n.foreign != "" {
		n.log.Info("the other network went; pods use ours again", "conf", n.foreign)
	}
	if !n.rules.made() {
		if err := n.install(cidr); err != nil {
			return err
		}
	}
	if n.foreign != "" || !n.isReady() {
		if err := writeConf(n.cfg.ConfDir, Socket(n.cfg.RunDir)); err != nil {
			return err
		}
	}
	n.foreign = ""
	return nil
}

// followConf uses a foreign configuration from when it appears until it goes.
func (n *Network) followConf(ctx context.Context) {
	if n.cfg.ForeignDir == "" {
		return
	}
	err := watchDir(ctx, n.cfg.ForeignDir, func() {
		if !n.isReady() {
			return
		}
		if err := n.useConf(); err != nil {
			n.log.Error("cannot change the CNI configuration", "err", err)
		}
	})
	if err != nil {
		n.log.Warn("another network will not be noticed", "dir", n.cfg.ForeignDir, "err", err)
	}
}

const dirEvents = unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// watchDir calls changed now and whenever something changes in dir, which need not exist yet, until ctx ends.
func watchDir(ctx context.Context, dir string, changed func()) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify") // non-blocking: reads go through the runtime's poller, and Close ends them
	var once sync.Once
	end := func() { once.Do(func() { _ = f.Close() }) }
	defer end()
	defer context.AfterFunc(ctx, end)()
	watched, was := "", -1
	buf := make([]byte, 16<<10)
	for ctx.Err() == nil {
		if near := existing(dir); near != watched {
			if was >= 0 {
				_, _ = unix.InotifyRmWatch(fd, uint32(was)) // gone with its folder, perhaps
			}
			if was, err = unix.InotifyAddWatch(fd, near, dirEvents); err != nil {
				was, watched = -1, ""
				if !os.IsNotExist(err) {
					return fmt.Errorf("watch %s: %w", near, err)
				}
				continue
			}
			watched = near
			continue // it may have changed before it was watched
		}
		changed()
		if _, err := f.Read(buf); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("inotify: %w", err)
		}
		if _, err := os.Stat(watched); err != nil {
			watched, was = "", -1
		}
	}
	return nil
}

// existing is the folder itself, or the nearest one above it that exists.
func existing(dir string) string {
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil && st.IsDir() || dir == filepath.Dir(dir) {
			return dir
		}
	}
}
