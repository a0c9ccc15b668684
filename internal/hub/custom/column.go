package custom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"sampan.dev/internal/api"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/util/jsonpath"
)

// columns gives a kind its table. A definition without columns has its name and age; one with a column that cannot be understood
// has its name alone, and those before.
func columns(defs []apiextensionsv1.CustomResourceColumnDefinition, k *api.Kind) {
	if len(defs) == 0 {
		defs = []apiextensionsv1.CustomResourceColumnDefinition{{
			Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"],
		}}
	}
	k.Columns = []metav1.TableColumnDefinition{api.NameColumn()}
	paths := make([]string, 0, len(defs))
	for _, c := range defs {
		if jsonpath.New(c.Name).Parse("{"+c.JSONPath+"}") != nil {
			break
		}
		if c.Description == "" {
			c.Description = "Custom resource definition column (in JSONPath format): " + c.JSONPath
		}
		k.Columns = append(k.Columns, metav1.TableColumnDefinition{
			Name: c.Name, Type: c.Type, Format: c.Format, Description: c.Description, Priority: c.Priority,
		})
		paths = append(paths, c.JSONPath)
	}
	cols := k.Columns[1:]
	find := parsers(paths)
	k.Row = func(obj api.Object) []any {
		cells := []any{obj.GetName()}
		p := find.get()
		defer find.put(p)
		for i := range cols {
			cells = append(cells, cell(p[i], cols[i].Type, content(obj)))
		}
		return cells
	}
}

// finders are parsed JSON paths, which one goroutine at a time may use: the library keeps state in them. They are parsed when a
// table is first asked for.
type finders struct{ pool sync.Pool }

func parsers(paths []string) *finders {
	return &finders{sync.Pool{New: func() any {
		out := make([]*jsonpath.JSONPath, len(paths))
		for i, path := range paths {
			out[i] = jsonpath.New("path").AllowMissingKeys(true)
			if err := out[i].Parse("{" + path + "}"); err != nil {
				panic(fmt.Sprintf("custom: a path that was parsed once cannot be parsed again: %s: %v", path, err))
			}
		}
		return out
	}}}
}

func (f *finders) get() []*jsonpath.JSONPath  { return f.pool.Get().([]*jsonpath.JSONPath) }
func (f *finders) put(p []*jsonpath.JSONPath) { f.pool.Put(p) }

// cell is what a column shows of an object; nil for nothing.
func cell(path *jsonpath.JSONPath, typ string, obj map[string]any) any {
	results, err := path.FindResults(obj)
	if err != nil || len(results) == 0 || len(results[0]) == 0 {
		return nil
	}
	value := results[0][0].Interface()
	switch typ {
	case "string":
		var text bytes.Buffer
		if path.PrintResults(&text, []reflect.Value{reflect.ValueOf(value)}) != nil {
			return nil
		}
		return text.String()
	case "integer":
		return integer(value)
	case "number":
		return number(value)
	case "boolean":
		if b, ok := value.(bool); ok {
			return b
		}
	case "date":
		if text, ok := value.(string); ok {
			var at metav1.Time
			if at.UnmarshalQueryParameter(text) != nil {
				return "<invalid>"
			}
			return at
		}
	}
	return nil
}

func integer(value any) any {
	switch v := value.(type) {
	case int64:
		return v
	case float64:
		return int64(v)
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
	}
	return nil
}

func number(value any) any {
	switch v := value.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	case json.Number:
		if n, err := v.Float64(); err == nil {
			return n
		}
	}
	return nil
}

// selectable gives a kind the fields by which its objects can be selected.
func selectable(defs []apiextensionsv1.SelectableField, k *api.Kind) {
	if len(defs) == 0 {
		return
	}
	paths := make([]string, len(defs))
	for i, f := range defs {
		paths[i] = f.JSONPath
		k.FieldLabels = append(k.FieldLabels, strings.TrimPrefix(f.JSONPath, "."))
	}
	labels, find := k.FieldLabels, parsers(paths)
	k.Fields = func(obj api.Object) fields.Set {
		set := fields.Set{}
		p := find.get()
		defer find.put(p)
		for i, label := range labels {
			set[label] = ""
			if results, err := p[i].FindResults(content(obj)); err == nil && len(results) > 0 && len(results[0]) > 0 {
				if value := results[0][0].Interface(); value != nil {
					set[label] = fmt.Sprint(value)
				}
			}
		}
		return set
	}
}
