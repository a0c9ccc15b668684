package flag

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/pflag"
)

// dropIn is how the name of a file ends that counts in a folder of settings.
const dropIn = ".conf"

// ReadFolder is ReadFile for a file (which may be "") and for the drop-ins of a folder: the files below it whose names end in
// ".conf", in the order of their paths. Each is an object of the kind and changes what those before it have said, as a JSON merge
// patch (RFC 7386) does: objects are merged, lists and scalars replaced, and null takes a setting back. skipped are the files below
// the folder that do not count.
func (t Table) ReadFolder(path, folder string, flags *pflag.FlagSet, kind string, versions ...string) (skipped []string, err error) {
	content := map[string]any{}
	if path != "" {
		if content, err = load("--config", path, kind, versions...); err != nil {
			return nil, err
		}
		if err := t.known("", content); err != nil {
			return nil, Usage{fmt.Errorf("--config %s: %w", path, err)}
		}
	}
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return Usage{fmt.Errorf("--config-dir: %w", err)}
		case entry.IsDir():
			return nil
		case filepath.Ext(path) != dropIn:
			skipped = append(skipped, path)
			return nil
		}
		patch, err := load("--config-dir", path, kind, versions...)
		if err != nil {
			return err
		}
		if err := t.known("", patch); err != nil {
			return Usage{fmt.Errorf("--config-dir %s: %w", path, err)}
		}
		content = merge(content, patch)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := t.take("", content, flags); err != nil {
		return nil, Usage{fmt.Errorf("--config-dir %s: %w", folder, err)}
	}
	return skipped, nil
}

// merge makes the changes of a JSON merge patch.
func merge(to, patch map[string]any) map[string]any {
	for name, value := range patch {
		below, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(to, name)
		case isObject:
			was, _ := to[name].(map[string]any)
			if was == nil {
				was = map[string]any{}
			}
			to[name] = merge(was, below)
		default:
			to[name] = value
		}
	}
	return to
}
