package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Sources are where registries are described, in the order of what counts more: for a host the first that says anything of it counts
// alone.
type Sources struct {
	Own   []string // folders of hosts as containerd has them (HOST/hosts.toml), of this node and its cluster
	Files []string // files of Registries, of which the first that is there is read
	Usual []string // folders of hosts, of this machine
}

// Read returns what the first of the files that is there says; nothing when none is.
func (s Sources) Read() (Registries, error) {
	for _, file := range s.Files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Registries{}, fmt.Errorf("registries: %w", err)
		}
		r, err := Parse(data)
		if err != nil {
			return r, fmt.Errorf("registries: %s: %w", file, err)
		}
		return r, nil
	}
	return Registries{}, nil
}

// entry is a host's folder: with one file of this content, or a link to a folder of somebody else's.
type entry struct{ content, link string }

// entries are the folders of all hosts that anybody says anything of.
func (s Sources) entries() (map[string]entry, error) {
	r, err := s.Read()
	if err != nil {
		return nil, err
	}
	out := map[string]entry{}
	for _, dir := range slices.Backward(s.Usual) {
		link(out, dir)
	}
	for host, content := range r.Hosts() {
		out[host] = entry{content: content}
	}
	for _, dir := range slices.Backward(s.Own) {
		link(out, dir)
	}
	return out, nil
}

// link adds the folders in dir, in place of what was said of their hosts.
func link(out map[string]entry, dir string) {
	found, _ := os.ReadDir(dir) // most are not there
	for _, e := range found {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			out[e.Name()] = entry{link: path}
		}
	}
}

// Write makes one folder to hold what all sources say, which containerd is told to read: it reads several only for pulls of its old
// kind. Without anything said there is no folder.
func Write(to string, s Sources) error {
	want, err := s.entries()
	if err != nil {
		return err
	}
	if len(want) == 0 {
		return os.RemoveAll(to)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("registries: %w", err)
	}
	found, err := os.ReadDir(to)
	if err != nil {
		return fmt.Errorf("registries: %w", err)
	}
	var errs []error
	for _, e := range found {
		if _, wanted := want[e.Name()]; !wanted {
			errs = append(errs, os.RemoveAll(filepath.Join(to, e.Name())))
		}
	}
	for host, e := range want {
		errs = append(errs, e.put(filepath.Join(to, host)))
	}
	return errors.Join(errs...)
}

// put makes a folder what it is to be, and leaves it alone when it is. Files may hold passwords.
func (e entry) put(dir string) error {
	target, err := os.Readlink(dir)
	isLink := err == nil
	if e.link != "" {
		if target == e.link {
			return nil
		}
		return errors.Join(os.RemoveAll(dir), os.Symlink(e.link, dir))
	}
	file := filepath.Join(dir, "hosts.toml")
	if isLink {
		if err := os.Remove(dir); err != nil {
			return err
		}
	} else if old, err := os.ReadFile(file); err == nil && string(old) == e.content {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", []byte(e.content), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
