package install

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Install puts the files in place, each as a whole: a program that runs is replaced and goes on as it was. What is put there is written
// down first. It returns the paths.
func (p Plan) Install() ([]string, error) {
	files := p.Files()
	paths := []string{}
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	record := File{Path: p.Record(), Text: strings.Join(append(paths, p.Record()), "\n") + "\n", Mode: 0o644}
	for _, f := range append([]File{record}, files...) {
		if err := f.put(p.Root); err != nil {
			return nil, fmt.Errorf("install %s: %w", f.Path, err)
		}
	}
	return paths, nil
}

func (f File) put(root string) error {
	path := filepath.Join(root, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var err error
	switch {
	case f.Link != "":
		err = os.Symlink(f.Link, tmp)
	case f.From != "":
		err = copyFile(f.From, tmp, fs.FileMode(f.Mode))
	default:
		err = os.WriteFile(tmp, []byte(f.Text), fs.FileMode(f.Mode))
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Installed are the paths that the record names; none when nothing is installed.
func (p Plan) Installed() ([]string, error) {
	data, err := os.ReadFile(filepath.Join(p.Root, p.Record()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(data)), err
}

// Remove takes away what the record names, and the folder of the programs. It returns what it removed.
func (p Plan) Remove() (removed []string, err error) {
	paths, err := p.Installed()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, path := range paths {
		switch err := os.Remove(filepath.Join(p.Root, path)); {
		case err == nil:
			removed = append(removed, path)
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	_ = os.Remove(filepath.Join(p.Root, p.lib())) // fails where somebody else has put a file, as it should
	return removed, errors.Join(errs...)
}

// Left looks for what is still there: of the paths that were installed, and processes of programs of ours other than this one.
func (p Plan) Left(paths []string, proc string) (left []string) {
	for _, path := range append(paths, p.lib()) {
		if _, err := os.Lstat(filepath.Join(p.Root, path)); err == nil {
			left = append(left, path)
		}
	}
	entries, _ := os.ReadDir(proc)
	own := fmt.Sprint(os.Getpid())
	for _, e := range entries {
		exe, err := os.Readlink(filepath.Join(proc, e.Name(), "exe"))
		if err == nil && e.Name() != own && strings.HasPrefix(exe, p.lib()+"/") {
			left = append(left, fmt.Sprintf("process %s (%s)", e.Name(), strings.TrimSuffix(exe, " (deleted)")))
		}
	}
	return left
}
