package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// DefaultFile is read when no other file is named; it need not be there.
const DefaultFile = "/etc/sampan/config.yaml"

// setting is one key of a file.
type setting struct {
	key   string
	value string // as a flag takes it
	more  bool   // "key+": to be appended to what the files before say
	at    string // FILE:LINE
}

// readAll reads the file and its drop-ins, FILE.d/*.yaml in the order of their names. What comes later counts.
func readAll(path string, must bool) ([]setting, error) {
	files := []string{path}
	drops, err := filepath.Glob(path + ".d/*.y*ml")
	if err != nil {
		return nil, err
	}
	slices.Sort(drops)
	var out []setting
	for i, file := range append(files, drops...) {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && (i > 0 || !must) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
		found, err := parse(file, data)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// parse reads one file: a mapping of flags to values, lists of values, or mappings of them (as "cpu: 500m" below system-reserved).
func parse(file string, data []byte) ([]setting, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return nil, nil // nothing but comments
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return nil, nil
	}
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: want flags and their values, a line each, as in \"listen: 0.0.0.0:6443\"", file, top.Line)
	}
	seen := map[string]int{}
	var out []setting
	for i := 0; i+1 < len(top.Content); i += 2 {
		k, v := top.Content[i], top.Content[i+1]
		key, more := strings.CutSuffix(k.Value, "+")
		at := fmt.Sprintf("%s:%d", file, k.Line)
		if before := seen[k.Value]; before != 0 {
			return nil, fmt.Errorf("%s: %q stands in line %d already", at, key, before)
		}
		seen[k.Value] = k.Line
		value, err := text(v)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", file, v.Line, key, err)
		}
		out = append(out, setting{key, value, more, at})
	}
	return out, nil
}

// text is a value as the command line would have it.
func text(v *yaml.Node) (string, error) {
	if v.Kind == yaml.AliasNode {
		v = v.Alias
	}
	var items []string
	switch v.Kind {
	case yaml.ScalarNode:
		return scalar(v), nil
	case yaml.SequenceNode:
		for _, item := range v.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("want a list of plain values")
			}
			items = append(items, scalar(item))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(v.Content); i += 2 {
			if v.Content[i+1].Kind != yaml.ScalarNode {
				return "", errors.New("want plain values below it")
			}
			items = append(items, v.Content[i].Value+"="+scalar(v.Content[i+1]))
		}
	}
	return strings.Join(items, ","), nil
}

func scalar(v *yaml.Node) string {
	if v.Tag == "!!null" {
		return ""
	}
	return v.Value
}
