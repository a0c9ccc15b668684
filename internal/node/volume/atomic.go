package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// file is one file to show. uid is its owner, nil for root.
type file struct {
	data []byte
	mode int32
	uid  *int64
}

// payload is what a volume shows, by path below it.
type payload map[string]file

// add puts the keys of an object into the payload: all of them, or those that items choose.
func (p payload) add(data map[string][]byte, items []corev1.KeyToPath, opt bool, defMode int32, missing string) error {
	if len(items) == 0 {
		for k, v := range data {
			p[k] = file{data: v, mode: defMode}
		}
		return nil
	}
	for _, it := range items {
		v, ok := data[it.Key]
		if !ok {
			if opt {
				continue
			}
			return fmt.Errorf(missing, it.Key)
		}
		f := file{data: v, mode: defMode}
		if it.Mode != nil {
			f.mode = *it.Mode
		}
		p[path.Clean(it.Path)] = f
	}
	return nil
}

// mode is that of files for which a volume says nothing else.
func mode(m *int32) int32 {
	if m == nil {
		return 0o644
	}
	return *m
}

// Names that the atomic writer keeps in a volume.
const (
	dataLink = "..data"
	newLink  = "..data_tmp"
)

// show writes a payload into the directory of the volume, on a tmpfs of its own when memory is set, and gives it to the
// pod's fsGroup. The first path elements in the volume are links to ..data/…, and ..data is a link to the directory with
// the current files, so that readers see all of an update or nothing of it.
func (m mounting) show(plugin string, memory bool, p payload) (Mounted, error) {
	dir := m.dir(plugin)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return Mounted{}, err
	}
	if memory {
		if err := ensureTmpfs(dir, 0); err != nil {
			return Mounted{}, err
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		return Mounted{}, err
	}
	gid := fsGroup(m.pod)
	if err := write(dir, p, gid); err != nil {
		return Mounted{}, err
	}
	if gid != nil {
		if err := own(dir, *gid, true); err != nil {
			return Mounted{}, err
		}
	}
	return Mounted{Path: dir, ReadOnly: true}, nil
}

// write makes dir show p. It does nothing when dir shows it already.
func write(dir string, p payload, gid *int64) error {
	for name := range p {
		if !filepath.IsLocal(name) || strings.HasPrefix(name, "..") {
			return fmt.Errorf("invalid path %q", name)
		}
	}
	current, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if current != "" && same(filepath.Join(dir, current), p) {
		return nil
	}
	next, err := os.MkdirTemp(dir, time.Now().UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return err
	}
	if err := fill(next, p, gid); err != nil {
		os.RemoveAll(next)
		return err
	}
	os.Remove(filepath.Join(dir, newLink))
	if err := os.Symlink(filepath.Base(next), filepath.Join(dir, newLink)); err != nil {
		os.RemoveAll(next)
		return err
	}
	if err := os.Rename(filepath.Join(dir, newLink), filepath.Join(dir, dataLink)); err != nil {
		os.RemoveAll(next)
		return err
	}
	if err := links(dir, p); err != nil {
		return err
	}
	if current != "" {
		return os.RemoveAll(filepath.Join(dir, current))
	}
	return nil
}

// fill writes the files of p below dir.
func fill(dir string, p payload, gid *int64) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for name, f := range p {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, os.FileMode(f.mode)); err != nil {
			return err
		}
		if err := os.Chmod(path, os.FileMode(f.mode)); err != nil { // whatever the umask is
			return err
		}
		if f.uid != nil {
			if err := os.Chown(path, int(*f.uid), -1); err != nil {
				return err
			}
		}
	}
	if gid != nil {
		return own(dir, *gid, true)
	}
	return nil
}

// same reports whether dir holds exactly the files of p. Modes and owners are left out: they follow from the pod's spec,
// which does not change.
func same(dir string, p payload) bool {
	found := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, ok := p[rel]
		if !ok {
			return fs.ErrInvalid
		}
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, f.data) {
			return fs.ErrInvalid
		}
		found++
		return nil
	})
	return err == nil && found == len(p)
}

// links makes the names in dir that people see, and removes those that are no longer shown.
func links(dir string, p payload) error {
	want := map[string]bool{}
	for name := range p {
		want[strings.SplitN(name, "/", 2)[0]] = true
	}
	for name := range want {
		link := filepath.Join(dir, name)
		if _, err := os.Readlink(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join(dataLink, name), link); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !want[e.Name()] && !strings.HasPrefix(e.Name(), "..") && e.Type()&fs.ModeSymlink != 0 {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// ensureTmpfs mounts a tmpfs at dir unless one is there. size is in bytes, 0 for the kernel's default.
func ensureTmpfs(dir string, size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	if st.Type == unix.TMPFS_MAGIC && isMountPoint(dir) {
		return nil
	}
	opts := ""
	if size > 0 {
		opts = fmt.Sprintf("size=%d", size)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, opts); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	return nil
}

// isMountPoint compares the devices of a directory and its parent, which differ for a tmpfs.
func isMountPoint(dir string) bool {
	var a, b unix.Stat_t
	return unix.Lstat(dir, &a) == nil && unix.Lstat(filepath.Dir(dir), &b) == nil && a.Dev != b.Dev
}
