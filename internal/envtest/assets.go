package envtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// names are what envtest looks for besides kubectl.
var names = []string{"kube-apiserver", "etcd"}

// Assets makes dir a folder that envtest takes: names that lead to program, which answers to them, and kubectl. Links of old are
// replaced; anything else that has one of the names is an error.
func Assets(dir, program, kubectl string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	to := map[string]string{"kubectl": kubectl}
	for _, name := range names {
		to[name] = program
	}
	for name, target := range to {
		if _, err := os.Stat(target); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := link(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func link(target, at string) error {
	was, err := os.Lstat(at)
	switch {
	case err == nil && was.Mode()&fs.ModeSymlink == 0:
		return fmt.Errorf("%s is there already and is no link", at)
	case err == nil:
		if err := os.Remove(at); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return os.Symlink(target, at)
}
