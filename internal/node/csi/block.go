package csi

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// deviceFolders makes what a block device's publication needs, and returns where the driver is to put the device. The pod's link to that comes
// first, so that the next kubelet finds a device that was published before this one ended.
func (c *caller) deviceFolders() (string, error) {
	at, t := c.m.at, c.t
	path := filepath.Join(at.blockPublish(t.user.spec), string(t.user.pod))
	if err := c.data().save(at.blockData(t.user.spec)); err != nil {
		return "", err
	}
	links := []string{filepath.Join(at.devices(t.user.pod), t.user.spec), filepath.Join(at.blockDevices(t.user.spec), string(t.user.pod))}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(links[0]), filepath.Dir(links[1])} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return "", err
		}
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == path {
			continue
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err := os.Symlink(path, link); err != nil {
			return "", err
		}
	}
	return path, nil
}

// removeDevice removes what a driver that has unpublished a block device left, and the pod's links to it.
func (m *Manager) removeDevice(u user) error {
	path := filepath.Join(m.at.blockPublish(u.spec), string(u.pod))
	for _, p := range []string{path, filepath.Join(m.at.blockDevices(u.spec), string(u.pod)), filepath.Join(m.at.devices(u.pod), u.spec)} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removeStaging removes the folders of a volume that is not staged any more. It removes nothing that is mounted.
func (m *Manager) removeStaging(k key, spec string, block bool) error {
	if !block {
		return removeMount(m.at.global(k.driver, k.handle))
	}
	for _, p := range []string{m.at.blockPublish(spec), m.at.blockStaging(spec), m.at.blockDevices(spec),
		filepath.Join(m.at.blockData(spec), dataFile), m.at.blockData(spec), m.at.blockFolder(spec)} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
