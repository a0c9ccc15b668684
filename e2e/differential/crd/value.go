package crd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func has(s, part string) bool { return strings.Contains(s, part) }

// fields makes the fields of an object after a schema of its root, mostly good ones.
func (g *gen) fields(root node) node {
	out := node{}
	props, _ := root["properties"].(node)
	for _, name := range sortedKeys(props) {
		s, _ := props[name].(node)
		if name == "metadata" || s == nil || g.chance(0.1) {
			continue
		}
		out[name] = g.value(s)
	}
	if g.chance(0.2) {
		out["unknown"] = g.wild(1)
	}
	return out
}

// value makes a value after a schema; now and then one that does not fit.
func (g *gen) value(s node) any {
	switch {
	case g.chance(0.04):
		return nil
	case g.chance(0.05):
		return g.wild(1)
	}
	return g.fill(s, g.value, 0.15)
}

// good makes a value that mostly fits.
func (g *gen) good(s node) any { return g.fill(s, g.good, 0) }

// fill makes a value of the schema's type, with values of inner by of. odd is how often it is out of bounds.
func (g *gen) fill(s node, of func(node) any, odd float64) any {
	if e, ok := s["enum"].([]any); ok && !g.chance(odd) {
		return e[g.r.IntN(len(e))]
	}
	if s["x-kubernetes-int-or-string"] == true {
		return pick[any](g, 7, "50%", "80", 0)
	}
	switch s["type"] {
	case "string":
		return g.string(s, odd)
	case "integer":
		if g.chance(odd) {
			return pick[any](g, -1, 11, 1<<40, 2.0, 2.5, 7)
		}
		return pick(g, 3, 6, 9)
	case "number":
		if g.chance(odd) {
			return pick[any](g, 1e300, 12.25, -3)
		}
		return pick[any](g, 1, 2.5, 0.25)
	case "boolean":
		return g.chance(0.5)
	case "array":
		items, _ := s["items"].(node)
		out := []any{}
		for range 1 + g.r.IntN(3) {
			out = append(out, of(items))
		}
		if g.chance(odd) {
			out = append(out, out[0])
		}
		return out
	case "object":
		return g.record(s, of, odd)
	}
	return g.wild(1)
}

func (g *gen) string(s node, odd float64) any {
	if f, ok := s["format"].(string); ok && !g.chance(odd) {
		return goodFormats[f]
	}
	return pick(g, "abc", "rst", "xy", "ABC 1", "", "long enough to be too long", "a", "2020-01-01T00:00:00Z")
}

var goodFormats = map[string]string{
	"date-time": "2020-01-01T00:00:00Z", "date": "2020-01-01", "ipv4": "10.0.0.1", "ipv6": "::1", "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
	"byte": "YWJj", "email": "a@b.org", "cidr": "10.0.0.0/8", "duration": "3h", "hostname": "a.org", "uri": "http://a.org/", "mac": "00:00:5e:00:53:01",
	"password": "x", "weird": "y", "k8s-short-name": "abc", "k8s-long-name": "abc.d",
}

func (g *gen) record(s node, of func(node) any, odd float64) any {
	out := node{}
	props, _ := s["properties"].(node)
	required := fmt.Sprint(s["required"])
	for _, name := range sortedKeys(props) {
		p, _ := props[name].(node)
		if p == nil || g.chance(0.3) && (odd > 0 || !has(required, name)) && !(has(required, name) && g.chance(0.8)) {
			continue
		}
		out[name] = of(p)
	}
	if a, ok := s["additionalProperties"].(node); ok {
		for i := range 1 + g.r.IntN(3) {
			out[fmt.Sprintf("k%d", i)] = of(a)
		}
	}
	if s["x-kubernetes-embedded-resource"] == true {
		out["apiVersion"], out["kind"] = "v1", "ConfigMap"
		if g.chance(0.7) {
			out["metadata"] = node{"name": pick(g, "in", "Bad_Name"), "labels": node{"a": "b"}, "odd": 1}
		}
	}
	if odd > 0 && g.chance(0.15) {
		out["zz"] = g.wild(1)
	}
	return out
}

// wild makes any JSON value.
func (g *gen) wild(depth int) any {
	if depth > 0 {
		switch g.r.IntN(4) {
		case 0:
			return node{"f0": g.wild(depth - 1), "w": g.wild(depth - 1)}
		case 1:
			return []any{g.wild(depth - 1), g.wild(depth - 1)}
		}
	}
	return pick[any](g, "w", 1, 1.5, true, nil, "3", -7)
}

func sortedKeys(m node) []string { return slices.Sorted(maps.Keys(m)) }
