package flag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// jsonValue is a value that a file gives as a structure of its own, such as a list of taints.
type jsonValue interface{ SetJSON(data []byte) error }

// ReadFile takes the settings of a configuration file: an object of kind in one of the API versions. A flag that was given on
// the command line wins over the file, as upstream. A field that has no row, and a kind or version that is another, is an error.
func (t Table) ReadFile(path string, fs *pflag.FlagSet, kind string, versions ...string) error {
	content, err := load("--config", path, kind, versions...)
	if err != nil {
		return err
	}
	if err := t.take("", content, fs); err != nil {
		return Usage{fmt.Errorf("--config %s: %w", path, err)}
	}
	return nil
}

// load reads the object of a configuration file that a flag names.
func load(flag, path, kind string, versions ...string) (map[string]any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, Usage{fmt.Errorf("%s: %w", flag, err)}
	}
	content, err := object(data, kind, versions...)
	if err != nil {
		return nil, Usage{fmt.Errorf("%s %s: %w", flag, path, err)}
	}
	return content, nil
}

// object reads an object of kind, without kind and version.
func object(data []byte, kind string, versions ...string) (map[string]any, error) {
	data, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, err
	}
	content := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // 10250 stays what it is written as
	if err := dec.Decode(&content); err != nil {
		return nil, err
	}
	version, _ := content["apiVersion"].(string)
	if k, _ := content["kind"].(string); k != kind || !slices.Contains(versions, version) {
		return nil, fmt.Errorf("want a %s of %s, not a %q of %q", kind, strings.Join(versions, " or "), k, version)
	}
	delete(content, "apiVersion")
	delete(content, "kind")
	return content, nil
}

// take gives the members of one object to their rows, in the order of their names.
func (t Table) take(path string, content map[string]any, fs *pflag.FlagSet) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(content)) {
		value := content[name]
		field := strings.TrimPrefix(path+"."+name, ".")
		row, ok := t.at(field)
		switch {
		case value == nil: // as if it were not there
		case ok:
			if row.Name != "" && fs != nil && fs.Changed(row.Name) {
				continue
			}
			if err := give(row.Value(), value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", field, err))
			}
		case t.below(field):
			group, isGroup := value.(map[string]any)
			if !isGroup {
				errs = append(errs, fmt.Errorf("%s: want an object", field))
				continue
			}
			errs = append(errs, t.take(field, group, fs))
		default:
			errs = append(errs, fmt.Errorf("strict decoding error: unknown field %q", field))
		}
	}
	return errors.Join(errs...)
}

// known is an error for the members of an object that have no row. It names the file that holds them, before several are merged.
func (t Table) known(path string, content map[string]any) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(content)) {
		field := strings.TrimPrefix(path+"."+name, ".")
		if _, ok := t.at(field); ok {
			continue
		}
		group, isGroup := content[name].(map[string]any)
		switch {
		case !t.below(field):
			errs = append(errs, fmt.Errorf("strict decoding error: unknown field %q", field))
		case isGroup:
			errs = append(errs, t.known(field, group))
		}
	}
	return errors.Join(errs...)
}

// give sets a value from what a file holds.
func give(to pflag.Value, value any) error {
	if structured, ok := to.(jsonValue); ok {
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		return structured.SetJSON(data)
	}
	switch v := value.(type) {
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, scalar(item))
		}
		return to.Set(strings.Join(items, ","))
	case map[string]any:
		var items []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			items = append(items, k+"="+scalar(v[k]))
		}
		return to.Set(strings.Join(items, ","))
	}
	return to.Set(scalar(value))
}

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return fmt.Sprint(v)
	}
	data, _ := json.Marshal(v)
	return string(data)
}
