package site

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sampan.dev/internal/config"
	"sampan.dev/internal/pattern"
)

// Home is the place of named clusters. There, NAME is the data directory of the cluster of that name, or a link to it.
type Home string

// Default is the name of the cluster in the default data directory.
const Default = "sampan"

// system is root's place, which everybody may look at.
const system Home = "/var/lib/sampan-clusters"

// Usual is the place of whoever runs this program.
func Usual() Home {
	if os.Geteuid() == 0 {
		return system
	}
	dir := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(dir) {
		home, _ := os.UserHomeDir()
		dir = filepath.Join(home, ".local", "share")
	}
	return Home(filepath.Join(dir, "sampan-clusters"))
}

// Site is one cluster, or one node of a cluster elsewhere, of this machine.
type Site struct {
	Name string
	Dir  string // data directory
}

// names are those that a folder, a kubeconfig's context and a label may have.
var names = pattern.New(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// Dir is the data directory that a name means, whether there is a cluster of the name or not.
func (h Home) Dir(name string) (string, error) {
	if name == Default {
		return config.DefaultDataDir, nil
	}
	if !names.MatchString(name) {
		return "", fmt.Errorf("--name %q: want at most 40 lower-case letters, digits and '-', which is neither the first nor the last", name)
	}
	place := filepath.Join(string(h), name)
	if target, err := os.Readlink(place); err == nil {
		return target, nil
	}
	return place, nil
}

// Name is what a data directory is called: by its place in h, or by what Note called it; "" for a directory that has no name.
func (h Home) Name(dir string) string {
	if dir == config.DefaultDataDir {
		return Default
	}
	if filepath.Dir(dir) == string(h) {
		return filepath.Base(dir)
	}
	entries, _ := os.ReadDir(string(h))
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(string(h), e.Name())); err == nil && target == dir {
			return e.Name()
		}
	}
	return ""
}

// Note gives a data directory that is elsewhere a name: its own last part where that is free and can be one, else its instance.
// Directories below another cluster's are its further nodes and get none.
func (h Home) Note(dir string) error {
	if filepath.Dir(dir) == string(h) {
		return os.Chmod(string(h), 0o755) // whoever made the folder below made this one, for itself alone
	}
	if h.Name(dir) != "" || config.Above(dir) != "" {
		return nil
	}
	if err := os.MkdirAll(string(h), 0o755); err != nil {
		return fmt.Errorf("list of clusters: %w", err)
	}
	sum := sha256.Sum256([]byte(dir))
	for _, name := range []string{strings.ToLower(filepath.Base(dir)), hex.EncodeToString(sum[:4])} {
		if !names.MatchString(name) || name == Default {
			continue
		}
		place := filepath.Join(string(h), name)
		if old, err := os.Readlink(place); err == nil && !exists(old) {
			_ = os.Remove(place) // of a cluster whose directory somebody deleted
		}
		if err := os.Symlink(dir, place); err == nil {
			return nil
		} else if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("list of clusters: %w", err)
		}
	}
	return nil // both are taken: it can still be named by its directory
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Forget takes the name of a data directory away, and the place of names with the last of them.
func (h Home) Forget(dir string) error {
	entries, err := os.ReadDir(string(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		place := filepath.Join(string(h), e.Name())
		if target, rerr := os.Readlink(place); rerr == nil && target == dir {
			err = errors.Join(err, os.Remove(place))
		}
	}
	_ = os.Remove(string(h)) // fails while there are others, as it should
	return err
}

// All are the clusters of this machine that whoever runs this program can know of, by name.
func All() []Site {
	homes := []Home{Usual()}
	if homes[0] != system {
		homes = append(homes, system)
	}
	var out []Site
	if exists(config.DefaultDataDir) {
		out = append(out, Site{Default, config.DefaultDataDir})
	}
	for _, h := range homes {
		out = append(out, h.all()...)
	}
	return out
}

func (h Home) all() (out []Site) {
	entries, _ := os.ReadDir(string(h))
	for _, e := range entries {
		dir, err := h.Dir(e.Name())
		if err == nil && exists(dir) {
			out = append(out, Site{e.Name(), dir})
		}
	}
	slices.SortFunc(out, func(a, b Site) int { return strings.Compare(a.Name, b.Name) })
	return out
}
