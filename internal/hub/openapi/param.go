package openapi

import (
	"reflect"
	"slices"
	"strings"
)

// param is a parameter in the path or the query.
type param struct {
	name, in, doc string
	typ           string // "string", "integer", "boolean"
}

var (
	namespaceParam = param{"namespace", "path", "object name and auth scope, such as for teams and projects", "string"}
	prettyParam    = param{"pretty", "query", "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a browser or command-line HTTP tool (curl and wget).", "string"}
	pathParam      = param{"path", "path", "path to the resource", "string"}
)

func nameParam(kind string) param { return param{"name", "path", "name of the " + kind, "string"} }

// paramsOf returns the query parameters that decode into options, a struct of one of the API's groups or a pointer to one, in the
// order of the alphabet. Fields that are structs have no place in a query.
func paramsOf(options any, except ...string) []param {
	t := reflect.TypeOf(options)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var docs map[string]string
	if d, ok := reflect.New(t).Interface().(interface{ SwaggerDoc() map[string]string }); ok {
		docs = d.SwaggerDoc()
	}
	var out []param
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		typ := queryType(f.Type)
		if name == "" || name == "-" || typ == "" || f.Anonymous || slices.Contains(except, name) {
			continue
		}
		out = append(out, param{name, "query", docs[name], typ})
	}
	return sorted(out)
}

func queryType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return queryType(t.Elem())
	case reflect.Bool:
		return "boolean"
	case reflect.Int32, reflect.Int64, reflect.Int:
		return "integer"
	case reflect.String:
		return "string"
	}
	return ""
}

func sorted(list []param) []param {
	slices.SortStableFunc(list, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return list
}

// merge joins lists; of parameters with one name and place the first stays.
func merge(lists ...[]param) []param {
	var out []param
	for _, p := range slices.Concat(lists...) {
		if !has(out, p) {
			out = append(out, p)
		}
	}
	return sorted(out)
}

func has(list []param, p param) bool {
	return slices.ContainsFunc(list, func(q param) bool { return q.name == p.name && q.in == p.in })
}

// share moves the parameters that all operations have to the path.
func (i *item) share() {
	if len(i.ops) == 0 {
		return
	}
	for _, p := range slices.Clone(i.ops[0].params) {
		everywhere := !slices.ContainsFunc(i.ops, func(o operation) bool { return !slices.Contains(o.params, p) })
		if !everywhere {
			continue
		}
		i.params = append(i.params, p)
		for k := range i.ops {
			i.ops[k].params = slices.DeleteFunc(slices.Clone(i.ops[k].params), func(q param) bool { return q == p })
		}
	}
	i.params = sorted(i.params)
}
