package settings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/machine/site"

	"github.com/spf13/pflag"
)

// Known are the names of flags that a file or the environment may set: those of commands that run a cluster or a node.
func Known(sets ...*pflag.FlagSet) map[string]bool {
	known := map[string]bool{}
	for _, fs := range sets {
		fs.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !slices.Contains(never, f.Name) {
				known[f.Name] = true
			}
		})
	}
	return known
}

// never are flags that mean something on a command line only.
var never = []string{"help", "config", "token-file", "token-fd"}

// Apply fills the flags of a command that its command line leaves open. Commands without --data-dir are about no cluster, and none of
// their flags is. Errors are wrong usage.
func Apply(fs *pflag.FlagSet, known map[string]bool) error {
	if fs.Lookup("data-dir") == nil {
		return nil
	}
	if err := apply(fs, known); err != nil {
		return flag.Usage{Err: err}
	}
	return nil
}

func apply(fs *pflag.FlagSet, known map[string]bool) error {
	if fs.Changed("name") && fs.Changed("data-dir") {
		return errors.New("--name and --data-dir: want one of them, since a name is a data directory's")
	}
	placed := fs.Changed("name") || fs.Changed("data-dir")
	if err := fromEnvironment(fs, known, placed); err != nil {
		return err
	}
	placed = fs.Changed("name") || fs.Changed("data-dir")
	if err := fromFiles(fs, known, placed); err != nil {
		return err
	}
	return place(fs)
}

// isPlace reports whether a flag says which cluster is meant: whoever says it first says it whole.
func isPlace(name string) bool { return name == "name" || name == "data-dir" }

// variable is the environment's name of a flag.
func variable(name string) string {
	return "SAMPAN_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func fromEnvironment(fs *pflag.FlagSet, known map[string]bool, placed bool) error {
	for _, name := range slices.Sorted(maps.Keys(known)) {
		value, given := os.LookupEnv(variable(name))
		if !given || fs.Lookup(name) == nil || fs.Changed(name) || placed && isPlace(name) {
			continue
		}
		if err := fs.Set(name, value); err != nil {
			return fmt.Errorf("%s: %w", variable(name), errors.Unwrap(err))
		}
	}
	if !placed && fs.Changed("name") && fs.Changed("data-dir") {
		return errors.New("SAMPAN_NAME and SAMPAN_DATA_DIR: want one of them, since a name is a data directory's")
	}
	return nil
}

func fromFiles(fs *pflag.FlagSet, known map[string]bool, placed bool) error {
	named := os.Getenv("SAMPAN_CONFIG")
	if f := fs.Lookup("config"); f != nil && f.Changed {
		named = f.Value.String()
	}
	found, err := readAll(cmp.Or(named, DefaultFile), named != "")
	if err != nil {
		return err
	}
	values := map[string]setting{}
	for _, s := range found {
		if !known[s.key] {
			return fmt.Errorf("%s: unknown key %q%s", s.at, s.key, meant(s.key, known))
		}
		if before, ok := values[s.key]; ok && s.more && before.value != "" {
			s.value = before.value + "," + s.value
		}
		values[s.key] = s
	}
	if _, both := values["name"]; both && !placed {
		if dir, ok := values["data-dir"]; ok {
			return fmt.Errorf("%s: name and data-dir: want one of them, since a name is a data directory's", dir.at)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		s := values[name]
		if fs.Lookup(name) == nil || fs.Changed(name) || placed && isPlace(name) {
			continue // another command's, or said by somebody who counts more
		}
		if err := fs.Set(name, s.value); err != nil {
			return fmt.Errorf("%s: %s: %w", s.at, name, errors.Unwrap(err))
		}
	}
	return nil
}

// meant names the flag that was probably meant.
func meant(key string, known map[string]bool) string {
	if near := Nearest(key, slices.Sorted(maps.Keys(known))); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; 'sampan up --help' lists what there is, without the dashes"
}

// place finds the data directory of a name, and the port that the cluster has if it was chosen for it.
func place(fs *pflag.FlagSet) error {
	name, dir := "", fs.Lookup("data-dir")
	if f := fs.Lookup("name"); f != nil {
		name = f.Value.String()
	}
	if name != "" {
		path, err := site.Usual().Dir(name)
		if err != nil {
			return err
		}
		if err := dir.Value.Set(path); err != nil {
			return err
		}
	}
	if listen := fs.Lookup("listen"); listen != nil && !listen.Changed {
		if at := site.Listen(dir.Value.String(), name != "" && name != site.Default); at != "" {
			return listen.Value.Set(at)
		}
	}
	return nil
}
