package crd

import "sampan.dev/e2e/differential/ask"

// breakSchema makes one thing of a schema wrong that a definition must not have.
func (g *gen) breakSchema(root node) {
	spec := root["properties"].(node)["spec"].(node)
	props, _ := spec["properties"].(node)
	wrong := pick(g, brokens...)
	if props == nil {
		return
	}
	props["broken"] = wrong.schema()
}

// broken is a property that makes a definition invalid.
type broken struct {
	name   string
	schema func() node
}

func fixed(name string, s node) broken { return broken{name, func() node { return s }} }

var brokens = []broken{
	fixed("no type", node{"description": "x"}),
	fixed("a type that there is not", node{"type": "strin"}),
	fixed("two ways to have fields", node{"type": "object", "properties": node{"a": node{"type": "string"}}, "additionalProperties": node{"type": "string"}}),
	fixed("a list without items", node{"type": "array"}),
	fixed("a default of another type", node{"type": "string", "default": 3}),
	fixed("a default out of bounds", node{"type": "integer", "maximum": 3, "default": 5}),
	fixed("a default with an unknown field", node{"type": "object", "properties": node{"a": node{"type": "string"}}, "default": node{"b": 1}}),
	fixed("a default that breaks a rule", node{"type": "integer", "default": 5, "x-kubernetes-validations": []any{node{"rule": "self < 3"}}}),
	fixed("a pattern that is none", node{"type": "string", "pattern": "["}),
	fixed("unique items", node{"type": "array", "items": node{"type": "string"}, "uniqueItems": true}),
	fixed("a map without keys", node{"type": "array", "items": node{"type": "object"}, "x-kubernetes-list-type": "map"}),
	fixed("a map with a key that is not there", node{"type": "array", "items": node{"type": "object", "properties": node{"a": node{"type": "string"}}, "required": []any{"a"}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{"b"}}),
	fixed("a map with a key that may be absent", node{"type": "array", "items": node{"type": "object", "properties": node{"a": node{"type": "string"}}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{"a"}}),
	fixed("a set of objects", node{"type": "array", "items": node{"type": "object", "properties": node{"a": node{"type": "string"}}}, "x-kubernetes-list-type": "set"}),
	fixed("a set of nullables", node{"type": "array", "items": node{"type": "string", "nullable": true}, "x-kubernetes-list-type": "set"}),
	fixed("a list type that there is not", node{"type": "array", "items": node{"type": "string"}, "x-kubernetes-list-type": "bag"}),
	fixed("a map type that there is not", node{"type": "object", "x-kubernetes-map-type": "bag"}),
	fixed("int or string with a type", node{"type": "string", "x-kubernetes-int-or-string": true}),
	fixed("an embedded resource without fields", node{"type": "object", "x-kubernetes-embedded-resource": true}),
	fixed("an embedded resource that is a string", node{"type": "string", "x-kubernetes-embedded-resource": true}),
	fixed("unknown fields are dropped by force", node{"type": "object", "x-kubernetes-preserve-unknown-fields": false}),
	fixed("a type in a value validation", node{"type": "object", "properties": node{"a": node{"type": "string"}}, "anyOf": []any{node{"properties": node{"a": node{"type": "string"}}}}}),
	fixed("a validation of a field that there is not", node{"type": "object", "properties": node{"a": node{"type": "string"}}, "allOf": []any{node{"properties": node{"b": node{"maxLength": 3}}}}}),
	fixed("a reference", node{"$ref": "#/definitions/x"}),
	fixed("a rule that does not parse", node{"type": "string", "x-kubernetes-validations": []any{node{"rule": "self =="}}}),
	fixed("a rule of another type", node{"type": "string", "x-kubernetes-validations": []any{node{"rule": "self + 'x'"}}}),
	fixed("a rule about a field that there is not", node{"type": "object", "properties": node{"a": node{"type": "string"}}, "x-kubernetes-validations": []any{node{"rule": "self.b == 'x'"}}}),
	fixed("a rule of wrong types", node{"type": "object", "properties": node{"a": node{"type": "string"}}, "x-kubernetes-validations": []any{node{"rule": "self.a == 1"}}}),
	fixed("an empty rule", node{"type": "string", "x-kubernetes-validations": []any{node{"rule": " "}}}),
	fixed("a message with a line break", node{"type": "string", "x-kubernetes-validations": []any{node{"rule": "self\n!= ''"}}}),
	fixed("a message of nothing", node{"type": "string", "x-kubernetes-validations": []any{node{"rule": "self != ''", "message": "  "}}}),
	fixed("a message expression of another type", node{"type": "string", "x-kubernetes-validations": []any{node{"rule": "self != ''", "messageExpression": "1"}}}),
	fixed("a reason that there is not", node{"type": "string", "x-kubernetes-validations": []any{node{"rule": "self != ''", "reason": "Because"}}}),
	fixed("a field path that leads nowhere", node{"type": "object", "properties": node{"a": node{"type": "string"}}, "x-kubernetes-validations": []any{node{"rule": "true", "fieldPath": ".b"}}}),
	fixed("the same rule twice", node{"type": "string", "x-kubernetes-validations": []any{node{"rule": "self != ''"}, node{"rule": "self != ''"}}}),
	fixed("an old self where there is none", node{"type": "array", "items": node{"type": "string", "x-kubernetes-validations": []any{node{"rule": "self == oldSelf"}}}}),
	fixed("an optional old self that is not used", node{"type": "string", "x-kubernetes-validations": []any{node{"rule": "self != ''", "optionalOldSelf": true}}}),
	fixed("a rule that costs too much", node{"type": "array", "items": node{"type": "array", "items": node{"type": "string"}}, "x-kubernetes-validations": []any{node{"rule": "self.all(x, x.all(y, self.all(z, z.all(w, w == y))))"}}}),
	fixed("a rule in a value validation", node{"type": "string", "allOf": []any{node{"x-kubernetes-validations": []any{node{"rule": "self != 'x'"}}}}}),
	fixed("nullable in a value validation", node{"type": "string", "anyOf": []any{node{"nullable": true}}}),
	fixed("an unknown format", node{"type": "string", "format": "wonder"}),
	fixed("a definition inside", node{"type": "object", "definitions": node{"a": node{"type": "string"}}}),
	fixed("an enum with a null", node{"type": "string", "enum": []any{"a", nil}}),
	fixed("an id and a schema", node{"type": "string", "id": "x", "$schema": "http://json-schema.org/schema#"}),
	fixed("items that are a list", node{"type": "array", "items": []any{node{"type": "string"}}}),
	fixed("a minimum that is no number", node{"type": "integer", "minimum": "1"}),
	fixed("exclusive by number", node{"type": "integer", "exclusiveMinimum": 3}),
}

// brokenCases have one of them each, beside a good field.
func brokenCases() []ask.Case {
	var out []ask.Case
	for i, b := range brokens {
		p := placeOf("broken" + string(rune('a'+i/26)) + string(rune('a'+i%26)))
		def := p.definition(node{"type": "object", "properties": node{"spec": node{"type": "object", "properties": node{"good": node{"type": "string"}, "broken": b.schema()}}}}, nil)
		out = append(out, ask.Case{Name: b.name, Steps: []ask.Step{ask.Post(definitions, def),
			ask.Await(definitions+"/"+p.name(), ask.Condition{Condition: "Established"}), ask.Delete(definitions + "/" + p.name()),
			ask.Await(definitions+"/"+p.name(), ask.Condition{Code: 404})}})
	}
	return append(out, brokenDefinitions()...)
}
