package crd

import (
	"fmt"
	"math/rand/v2"
)

type node = map[string]any

// gen makes schemas and values from one source of chance.
type gen struct{ r *rand.Rand }

func (g *gen) chance(p float64) bool { return g.r.Float64() < p }

func pick[T any](g *gen, from ...T) T { return from[g.r.IntN(len(from))] }

// root makes the schema of an object: spec, and sometimes status and other fields.
func (g *gen) root() node {
	props := node{"spec": g.object(3)}
	if g.chance(0.5) {
		props["status"] = g.object(2)
	}
	if g.chance(0.2) {
		props["extra"] = g.schema(2)
	}
	if g.chance(0.15) {
		props["metadata"] = node{"type": "object", "properties": node{"name": node{"type": "string", "maxLength": 40}}}
	}
	root := node{"type": "object", "properties": props}
	if g.chance(0.3) {
		root["required"] = []any{"spec"}
	}
	if g.chance(0.1) {
		root["x-kubernetes-preserve-unknown-fields"] = true
	}
	if g.chance(0.3) {
		root["x-kubernetes-validations"] = []any{node{"rule": "has(self.spec)", "message": "spec is wanted"}, node{"rule": "self.metadata.name != 'o3'"}}
	}
	return root
}

// schema makes any schema of a depth.
func (g *gen) schema(depth int) node {
	var s node
	kinds := 5
	if depth > 0 {
		kinds = 9
	}
	switch g.r.IntN(kinds) {
	case 0:
		s = g.text()
	case 1:
		s = g.integer()
	case 2:
		s = g.number()
	case 3:
		s = node{"type": "boolean"}
	case 4:
		s = g.intOrString()
	case 5, 6:
		s = g.object(depth - 1)
	case 7:
		s = g.list(depth - 1)
	case 8:
		s = g.mapping(depth - 1)
	}
	return g.dress(s)
}

// dress adds what any schema may have.
func (g *gen) dress(s node) node {
	if g.chance(0.15) {
		s["nullable"] = true
	}
	if g.chance(0.2) {
		s["description"] = "what it is"
	}
	if g.chance(0.25) && s["x-kubernetes-embedded-resource"] == nil {
		s["default"] = g.good(s)
	}
	return s
}

func (g *gen) text() node {
	s := node{"type": "string"}
	switch g.r.IntN(7) {
	case 0:
		s["enum"] = []any{"red", "green", "blue"}
	case 1:
		s["pattern"] = "^[a-z]+$"
	case 2:
		s["format"] = pick(g, "date-time", "date", "ipv4", "ipv6", "uuid", "byte", "email", "cidr", "duration", "hostname", "uri", "mac", "password", "weird", "k8s-short-name", "k8s-long-name")
	case 3:
		s["minLength"], s["maxLength"] = 2, 6
	}
	if g.chance(0.2) {
		s["maxLength"] = 8
		s["x-kubernetes-validations"] = []any{g.rule("self.size() < 5", "self.startsWith('r')", "self != oldSelf")}
	}
	return s
}

func (g *gen) integer() node {
	s := node{"type": "integer"}
	switch g.r.IntN(5) {
	case 0:
		s["minimum"], s["maximum"] = 0, 10
	case 1:
		s["multipleOf"] = 3
	case 2:
		s["format"] = pick(g, "int32", "int64")
	case 3:
		s["minimum"], s["exclusiveMinimum"] = 2, true
	}
	if g.chance(0.2) {
		s["x-kubernetes-validations"] = []any{g.rule("self % 2 == 0", "self >= oldSelf", "10 / self > 1", "self < 100")}
	}
	return s
}

func (g *gen) number() node {
	s := node{"type": "number"}
	if g.chance(0.5) {
		s["maximum"] = 9.5
	}
	if g.chance(0.3) {
		s["format"] = pick(g, "float", "double")
	}
	return s
}

func (g *gen) intOrString() node {
	s := node{"x-kubernetes-int-or-string": true}
	if g.chance(0.4) {
		s["anyOf"] = []any{node{"type": "integer"}, node{"type": "string"}}
	}
	if g.chance(0.3) {
		s["pattern"] = "^[0-9]+%?$"
	}
	return s
}

func (g *gen) object(depth int) node {
	props := node{}
	var required []any
	for i := range 1 + g.r.IntN(4) {
		name := fmt.Sprintf("f%d", i)
		props[name] = g.schema(depth)
		if g.chance(0.25) {
			required = append(required, name)
		}
	}
	s := node{"type": "object", "properties": props}
	if required != nil {
		s["required"] = required
	}
	switch g.r.IntN(12) {
	case 0:
		s["x-kubernetes-preserve-unknown-fields"] = true
	case 1:
		s["x-kubernetes-embedded-resource"] = true
		if g.chance(0.5) {
			s["x-kubernetes-preserve-unknown-fields"] = true
		}
	case 2:
		s["x-kubernetes-map-type"] = pick(g, "atomic", "granular")
	case 3:
		s["maxProperties"] = 2
	case 4:
		s["x-kubernetes-validations"] = []any{g.rule("has(self.f0)", "!has(self.f1) || has(self.f0)", "self == oldSelf")}
	case 5:
		s[pick(g, "anyOf", "oneOf")] = []any{node{"required": []any{"f0"}}, node{"required": []any{"f1"}}}
	case 6:
		s["not"] = node{"required": []any{"f2"}}
	}
	return s
}

func (g *gen) mapping(depth int) node {
	s := node{"type": "object", "additionalProperties": g.schema(depth)}
	if g.chance(0.3) {
		s["minProperties"] = 1
	}
	if g.chance(0.2) {
		s["maxProperties"] = 3
		s["x-kubernetes-validations"] = []any{g.rule("self.size() < 3", "!('k0' in self)", "self.all(k, k.startsWith('k'))")}
	}
	return s
}

func (g *gen) list(depth int) node {
	s := node{"type": "array"}
	switch g.r.IntN(4) {
	case 0:
		s["items"], s["x-kubernetes-list-type"] = pick(g, node{"type": "string"}, node{"type": "integer"}, node{"type": "string", "enum": []any{"a", "b"}}), "set"
	case 1:
		s["items"] = node{"type": "object", "required": []any{"k"}, "properties": node{"k": node{"type": "string"}, "v": g.schema(depth)}}
		s["x-kubernetes-list-type"], s["x-kubernetes-list-map-keys"] = "map", []any{"k"}
	case 2:
		s["items"], s["x-kubernetes-list-type"] = g.schema(depth), "atomic"
	default:
		s["items"] = g.schema(depth)
	}
	if g.chance(0.3) {
		s["minItems"] = 1
	}
	if g.chance(0.4) {
		s["maxItems"] = 3
		if g.chance(0.5) {
			s["x-kubernetes-validations"] = []any{g.rule("self.size() < 3", "self.size() >= oldSelf.size()", "self.all(x, true)")}
		}
	}
	return s
}

// rule makes a rule of one of the expressions, with what a rule may have besides.
func (g *gen) rule(expressions ...string) node {
	r := node{"rule": pick(g, expressions...)}
	switch g.r.IntN(6) {
	case 0:
		r["message"] = "not so"
	case 1:
		r["messageExpression"] = "'is ' + string(self == self)"
	case 2:
		r["reason"] = pick(g, "FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
	case 3:
		if e := r["rule"].(string); !has(e, "oldSelf") {
			break
		}
		r["optionalOldSelf"] = true
		r["rule"] = "!oldSelf.hasValue() || oldSelf.value() == self"
	}
	return r
}
