package crd

import (
	"fmt"

	"sampan.dev/e2e/differential/ask"
)

// named are cases of answers that good guesses miss.
func named() []ask.Case {
	str, integer := node{"type": "string"}, node{"type": "integer"}
	fields := func(props node) node {
		return node{"type": "object", "properties": node{"spec": node{"type": "object", "properties": props}, "status": node{"type": "object", "properties": node{"n": integer, "s": str}}}}
	}
	var out []ask.Case
	add := func(name string, schema, more node, steps func(p place) []ask.Step) {
		p := placeOf(name)
		out = append(out, p.wrap(name, p.definition(schema, more), steps(p)...))
	}
	spec := func(s node) node { return node{"spec": s} }

	add("nulls", fields(node{"a": with(str, "default", "d"), "b": with(with(str, "default", "d"), "nullable", true), "c": str, "e": with(str, "nullable", true)}), nil, func(p place) []ask.Step {
		return []ask.Step{ask.Post(p.path(), p.object("a", spec(node{"a": nil, "b": nil, "c": nil, "e": nil}))), ask.Get(p.path() + "/a"), ask.Merge(p.path()+"/a", spec(node{"b": nil, "c": "x"}))}
	})
	scale := node{"subresources": node{"status": node{}, "scale": node{"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.s"}}}
	add("numbers", fields(node{"n": integer}), scale, func(p place) []ask.Step {
		var steps []ask.Step
		for i, n := range []string{"3", "3.0", "1e0", "-1", "4294967296", "9223372036854775808", `"3"`, "null"} {
			steps = append(steps, ask.Post(p.path(), fmt.Sprintf(`{"apiVersion":"%s/v1","kind":"Thing","metadata":{"name":"n%d"},"spec":{"n":%s}}`, p.group, i, n)))
		}
		return append(steps, ask.Post(p.path(), p.object("a", spec(node{"n": 2}))), ask.Get(p.path()+"/a/scale"),
			ask.Merge(p.path()+"/a/status", node{"status": node{"n": 1, "s": "a=b"}}), ask.Get(p.path()+"/a/scale"),
			ask.Merge(p.path()+"/a/status", node{"status": node{"n": -1}}), ask.Merge(p.path()+"/a/scale", node{"spec": node{"replicas": 5}}), ask.Get(p.path()+"/a"))
	})
	add("rules-on-numbers", fields(node{"n": with(integer, "x-kubernetes-validations", []any{node{"rule": "self < 5"}})}), nil, func(p place) []ask.Step {
		body := func(n string) string {
			return `{"apiVersion":"` + p.group + `/v1","kind":"Thing","metadata":{"name":"n"},"spec":{"n":` + n + `}}`
		}
		return []ask.Step{ask.Post(p.path(), body("3.0")), ask.Post(p.path(), body("7")), ask.Post(p.path(), body("1e0"))}
	})
	add("kept", node{"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": node{"spec": node{"type": "object", "properties": node{"a": str}}}}, nil, func(p place) []ask.Step {
		return []ask.Step{
			ask.Post(p.path(), `{"apiVersion":"`+p.group+`/v1","kind":"Thing","metadata":{"name":"a","odd":1},"x":{"f":1.0,"g":1e3,"h":12345678901234567890,"i":1.5,"j":null},"spec":{"a":"b","z":1}}`),
			ask.Get(p.path() + "/a"), ask.Apply(p.path()+"/a", "m", p.object("a", node{"x": node{"f": 2, "new": node{"deep": []any{1}}}})),
		}
	})
	add("blocked", fields(node{"e": node{"type": "string", "enum": []any{"a", "b"}}, "n": with(integer, "x-kubernetes-validations", []any{node{"rule": "self < 5"}})}), nil, func(p place) []ask.Step {
		return []ask.Step{ask.Post(p.path(), p.object("a", spec(node{"e": "c", "n": 9}))), ask.Post(p.path(), p.object("Bad_Name", spec(node{"e": "a", "n": 9}))), ask.Post(p.path(), p.object("", spec(node{"e": "a", "n": 9})))}
	})
	lists := node{"set": node{"type": "array", "x-kubernetes-list-type": "set", "items": str}, "map": node{"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{"k"}, "items": node{"type": "object", "required": []any{"k"}, "properties": node{"k": str, "v": str}}}}
	add("lists", fields(lists), nil, func(p place) []ask.Step {
		return []ask.Step{
			ask.Post(p.path(), p.object("a", spec(node{"set": []any{"a", "a"}, "map": []any{node{"k": "a"}, node{"k": "a", "v": "x"}}}))),
			ask.Post(p.path(), p.object("a", spec(node{"set": []any{"a", "b"}, "map": []any{node{"k": "a"}, node{"k": "b"}}}))),
			ask.Apply(p.path()+"/a", "m1", p.object("a", spec(node{"set": []any{"c", "a"}, "map": []any{node{"k": "b", "v": "x"}}}))),
			ask.Apply(p.path()+"/a", "m2", p.object("a", spec(node{"set": []any{"z", "c"}, "map": []any{node{"k": "b", "v": "y"}}}))),
			ask.Apply(p.path()+"/a", "m1", p.object("a", spec(node{"set": []any{"a"}}))),
			ask.Merge(p.path()+"/a", spec(node{"set": []any{"q", "q"}})),
		}
	})
	add("unknown-field", fields(node{"a": str}), nil, func(p place) []ask.Step {
		zz := p.object("a", spec(node{"a": "x", "zz": 1}))
		return []ask.Step{
			ask.Apply(p.path()+"/a", "m", zz), ask.Post(p.path()+"?fieldValidation=Warn", zz), ask.Post(p.path()+"?fieldValidation=Strict", zz), ask.Merge(p.path()+"/a?fieldValidation=Strict", spec(node{"yy": 1})),
			ask.Merge(p.path()+"/a?fieldValidation=Warn", spec(node{"yy": 1})), {Method: "POST", Path: p.path() + "?fieldValidation=Strict", Type: "application/yaml", Body: "apiVersion: " + p.group + "/v1\nkind: Thing\nmetadata: {name: y, bogus: 1}\nspec: {a: x, a: y, q: 1}\n"},
			{Method: "POST", Path: p.path() + "?fieldValidation=Strict", Body: `{"apiVersion":"` + p.group + `/v1","kind":"Thing","metadata":{"name":"y","labels":{"a":"b"},"labels":{}},"spec":{"a":"x","a":"y"},"top":1}`},
		}
	})
	add("media", fields(node{"a": str}), nil, func(p place) []ask.Step {
		body := `{"spec":{"a":"c"}}`
		return []ask.Step{
			ask.Post(p.path(), p.object("a", spec(node{"a": "b"}))), {Method: "PATCH", Path: p.path() + "/a", Type: "application/strategic-merge-patch+json", Body: body},
			{Method: "PATCH", Path: p.path() + "/a", Type: "application/json", Body: body}, {Method: "PATCH", Path: p.path() + "/a", Type: "application/json-patch+json", Body: `[{"op":"replace","path":"/spec/a","value":3}]`},
		}
	})
	add("deletes", fields(node{"a": str}), node{"subresources": node{"status": node{}}}, func(p place) []ask.Step {
		return []ask.Step{
			ask.Post(p.path(), with(p.object("a", spec(node{"a": "b"})), "status", node{"n": 1})), ask.Merge(p.path()+"/a/status", node{"metadata": node{"labels": node{"x": "y"}}, "spec": node{"a": "c"}, "status": node{"n": 2}}),
			ask.Merge(p.path()+"/a", node{"metadata": node{"labels": node{"x": "y"}}}), ask.Merge(p.path()+"/a", node{"metadata": node{"finalizers": []any{"plain", "with.dots", "d.io/f"}}}), ask.Merge(p.path()+"/a", node{"metadata": node{"finalizers": nil}, "spec": node{"a": "z"}}),
			ask.Put(p.path()+"/a", p.object("a", spec(node{"a": "w"}))), ask.Put(p.path()+"/absent", p.object("absent", spec(node{"a": "w"}))), ask.Delete(p.path() + "/a"), ask.Delete(p.path()),
		}
	})
	add("ratchet", fields(node{"e": str, "o": str, "m": node{"type": "object", "additionalProperties": str}}), nil, func(p place) []ask.Step {
		at := p.path() + "/a"
		tight := p.definition(fields(node{"e": node{"type": "string", "enum": []any{"a"}, "x-kubernetes-validations": []any{node{"rule": "self == 'a'"}}}, "o": str, "m": node{"type": "object", "additionalProperties": with(str, "maxLength", 2)}}), nil)
		return []ask.Step{
			ask.Post(p.path(), p.object("a", spec(node{"e": "x", "o": "1", "m": node{"k": "long"}}))), ask.Merge(definitions+"/"+p.name(), tight), ask.Await(at+"?dryRun=All", ask.Condition{Code: 200}),
			{Method: "POST", Path: p.path() + "?dryRun=All", Body: text(p.object("probe", spec(node{"e": "q"}))), Until: ask.Condition{Code: 422}},
			ask.Merge(at, spec(node{"o": "2"})), ask.Merge(at, spec(node{"e": "y"})), ask.Merge(at, spec(node{"m": node{"j": "also long"}})), ask.Merge(at, spec(node{"e": "a", "m": node{"k": "ok"}})),
		}
	})
	add("selectable", fields(node{"color": str, "n": integer, "b": node{"type": "boolean"}}), node{"selectableFields": []any{node{"jsonPath": ".spec.color"}, node{"jsonPath": ".spec.b"}}}, func(p place) []ask.Step {
		return []ask.Step{
			ask.Post(p.path(), p.object("a", spec(node{"color": "red", "b": true}))), ask.Get(p.path() + "?fieldSelector=spec.color%3Dred"), ask.Get(p.path() + "?fieldSelector=spec.b%3Dtrue,spec.color!%3Dred"), ask.Get(p.path() + "?fieldSelector=spec.n%3D1"), ask.Get(p.path() + "?fieldSelector=spec.color%3D"),
		}
	})
	embedded := node{"in": node{"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}
	add("embedded", fields(embedded), nil, func(p place) []ask.Step {
		var steps []ask.Step
		for _, in := range []node{
			{"apiVersion": "v1", "kind": "Pod", "metadata": node{"name": "x", "labels": node{"a": "b"}, "bogus": 1, "creationTimestamp": nil}}, {"kind": "Pod"}, {"apiVersion": "v1", "kind": 3}, {"apiVersion": "a/b/c", "kind": "pod"},
			{"apiVersion": "v1", "kind": "Pod", "metadata": node{"name": "B_d", "labels": node{"a b": "c"}}}, {"apiVersion": "v1", "kind": "Pod", "metadata": "x"}, {"apiVersion": "v1", "kind": "Pod", "metadata": node{"labels": 3}},
		} {
			o := p.object("strict", spec(node{"in": in}))
			steps = append(steps, ask.Post(p.path()+"?dryRun=All&fieldValidation=Strict", o), ask.Post(p.path()+"?dryRun=All", with(o, "metadata", node{"name": "fixed"})))
		}
		return steps
	})
	return out
}

func text(v any) string { return ask.Post("", v).Body }
