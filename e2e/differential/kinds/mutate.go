package kinds

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// mutation makes a copy of an object that differs in one place.
type mutation struct {
	path string // "spec.rules.0.verbs"
	edit func(parent any, key string)
}

// odd are values that most fields cannot hold.
var odd = []any{nil, "", "A_ b", "x", -1.0, 0.0, 1.5, 2147483648.0, true, []any{}, map[string]any{}, []any{"x"}, map[string]any{"unknown": "x"}}

// mutations are all single changes of a base: for every field, its absence and every odd value; for every list, a repeated item; for every
// object, an unknown field; and the further values.
func mutations(b *base, top string, object map[string]any) []mutation {
	var out []mutation
	set := func(path string, v any) {
		out = append(out, mutation{path, func(parent any, key string) { assign(parent, key, v) }})
	}
	walk(object, "", func(path string, v any) {
		if path == "apiVersion" || path == "kind" || path == "metadata" || path == "metadata.name" {
			return
		}
		if !strings.HasPrefix(path, "metadata.") {
			for _, o := range odd {
				set(path, o)
			}
		}
		out = append(out, mutation{path, remove})
		switch v := v.(type) {
		case []any:
			if len(v) > 0 {
				set(path, append(slices.Clone(v), v[0]))
			}
		case map[string]any:
			more := maps.Clone(v)
			more["unknown"] = "x"
			set(path, more)
		}
	})
	for _, path := range slices.Sorted(maps.Keys(b.Values)) {
		if at, ok := strings.CutPrefix(path, "status."); ok == (top == "status") {
			for _, v := range b.Values[path] {
				for range 3 { // they are worth more than the odd ones
					if ok {
						set(at, v)
					} else {
						set(path, v)
					}
				}
			}
		}
	}
	return out
}

// mutate returns a copy of object with n changes.
func mutate(r *rand.Rand, all []mutation, object map[string]any, n int) map[string]any {
	out := clone(object).(map[string]any)
	for range n {
		m := all[r.IntN(len(all))]
		head, last := "", m.path
		if i := strings.LastIndex(m.path, "."); i >= 0 {
			head, last = m.path[:i], m.path[i+1:]
		}
		if parent := find(out, head); parent != nil {
			m.edit(parent, last)
		}
	}
	return out
}

func walk(v any, path string, visit func(path string, v any)) {
	if path != "" {
		visit(path, v)
		path += "."
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if !strings.Contains(k, ".") {
				walk(v[k], path+k, visit)
			}
		}
	case []any:
		for i := range v {
			walk(v[i], path+strconv.Itoa(i), visit)
		}
	}
}

// find returns what is at path, making the objects on the way; nil where something else stands there.
func find(v any, path string) any {
	if path == "" {
		return v
	}
	for _, part := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			if at[part] == nil {
				at[part] = map[string]any{}
			}
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

func assign(parent any, key string, v any) {
	switch p := parent.(type) {
	case map[string]any:
		p[key] = clone(v)
	case []any:
		if i, err := strconv.Atoi(key); err == nil && i < len(p) {
			p[i] = clone(v)
		}
	}
}

func remove(parent any, key string) {
	if p, ok := parent.(map[string]any); ok {
		delete(p, key)
	}
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, c := range v {
			out[k] = clone(c)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, c := range v {
			out[i] = clone(c)
		}
		return out
	}
	return v
}
