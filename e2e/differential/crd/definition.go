package crd

import (
	"fmt"

	"sampan.dev/e2e/differential/ask"
)

// brokenDefinitions are wrong outside of their schemas.
func brokenDefinitions() []ask.Case {
	edits := []struct {
		name string
		edit func(spec, version node)
	}{
		{"a group without a dot", func(s, v node) { s["group"] = "one" }},
		{"no group", func(s, v node) { delete(s, "group") }},
		{"a group that is no domain", func(s, v node) { s["group"] = "A_b.c" }},
		{"no plural", func(s, v node) { delete(s["names"].(node), "plural") }},
		{"no kind", func(s, v node) { delete(s["names"].(node), "kind") }},
		{"a kind with a dash", func(s, v node) { s["names"].(node)["kind"] = "Big-Thing" }},
		{"a list kind like the kind", func(s, v node) { s["names"].(node)["listKind"] = "Thing" }},
		{"a short name in capitals", func(s, v node) { s["names"].(node)["shortNames"] = []any{"TH"} }},
		{"a category with a dot", func(s, v node) { s["names"].(node)["categories"] = []any{"a.b"} }},
		{"no scope", func(s, v node) { delete(s, "scope") }},
		{"a scope that there is not", func(s, v node) { s["scope"] = "Everywhere" }},
		{"no versions", func(s, v node) { s["versions"] = []any{} }},
		{"nothing stored", func(s, v node) { v["storage"] = false }},
		{"two stored", func(s, v node) { s["versions"] = []any{v, with(v, "name", "v2")} }},
		{"one version twice", func(s, v node) { s["versions"] = []any{v, with(v, "storage", false)} }},
		{"nothing served", func(s, v node) { v["served"] = false }},
		{"a version that is no label", func(s, v node) { v["name"] = "1_0" }},
		{"no schema", func(s, v node) { delete(v, "schema") }},
		{"an empty schema", func(s, v node) { v["schema"] = node{} }},
		{"a root that is a string", func(s, v node) { v["schema"] = node{"openAPIV3Schema": node{"type": "string"}} }},
		{"a nullable root", func(s, v node) { v["schema"] = node{"openAPIV3Schema": node{"type": "object", "nullable": true}} }},
		{"metadata with labels", func(s, v node) {
			v["schema"] = node{"openAPIV3Schema": node{"type": "object", "properties": node{"metadata": node{"type": "object", "properties": node{"labels": node{"type": "object"}}}}}}
		}},
		{"metadata with a default", func(s, v node) {
			v["schema"] = node{"openAPIV3Schema": node{"type": "object", "properties": node{"metadata": node{"type": "object", "default": node{"name": "x"}}}}}
		}},
		{"a kind in the schema", func(s, v node) {
			v["schema"] = node{"openAPIV3Schema": node{"type": "object", "properties": node{"kind": node{"type": "integer"}}}}
		}},
		{"unknown fields everywhere", func(s, v node) { s["preserveUnknownFields"] = true }},
		{"scale without paths", func(s, v node) { v["subresources"] = node{"scale": node{}} }},
		{"scale outside of spec", func(s, v node) {
			v["subresources"] = node{"scale": node{"specReplicasPath": ".status.n", "statusReplicasPath": ".spec.n", "labelSelectorPath": ".x"}}
		}},
		{"scale by index", func(s, v node) {
			v["subresources"] = node{"scale": node{"specReplicasPath": ".spec.a[0]", "statusReplicasPath": "status.n"}}
		}},
		{"a column without a name", func(s, v node) { v["additionalPrinterColumns"] = []any{node{"type": "string", "jsonPath": ".spec.a"}} }},
		{"a column of no type", func(s, v node) {
			v["additionalPrinterColumns"] = []any{node{"name": "A", "type": "text", "format": "odd", "jsonPath": "spec.a"}}
		}},
		{"a column of no path", func(s, v node) {
			v["additionalPrinterColumns"] = []any{node{"name": "A", "type": "string", "jsonPath": ".spec["}}
		}},
		{"a selectable field that there is not", func(s, v node) { v["selectableFields"] = []any{node{"jsonPath": ".spec.zz"}} }},
		{"a selectable field that is an object", func(s, v node) { v["selectableFields"] = []any{node{"jsonPath": ".spec"}} }},
		{"a selectable field of metadata", func(s, v node) { v["selectableFields"] = []any{node{"jsonPath": ".metadata.name"}} }},
		{"a selectable field twice", func(s, v node) {
			v["selectableFields"] = []any{node{"jsonPath": ".spec.a"}, node{"jsonPath": ".spec.a"}}
		}},
		{"too many selectable fields", func(s, v node) {
			var list []any
			for range 9 {
				list = append(list, node{"jsonPath": ".spec.a"})
			}
			v["selectableFields"] = list
		}},
		{"a deprecation that is none", func(s, v node) { v["deprecationWarning"] = "old" }},
		{"an empty deprecation", func(s, v node) { v["deprecated"], v["deprecationWarning"] = true, "" }},
		{"a conversion that there is not", func(s, v node) { s["conversion"] = node{"strategy": "Magic"} }},
		{"a webhook without a webhook", func(s, v node) { s["conversion"] = node{"strategy": "Webhook"} }},
		{"a webhook without versions", func(s, v node) {
			s["conversion"] = node{"strategy": "Webhook", "webhook": node{"clientConfig": node{"url": "https://a.b/c"}}}
		}},
		{"a webhook by http", func(s, v node) {
			s["conversion"] = node{"strategy": "Webhook", "webhook": node{"conversionReviewVersions": []any{"v1"}, "clientConfig": node{"url": "http://a.b/c?d#e"}}}
		}},
		{"a webhook two ways", func(s, v node) {
			s["conversion"] = node{"strategy": "Webhook", "webhook": node{"conversionReviewVersions": []any{"v9"}, "clientConfig": node{"url": "https://a.b/c", "service": node{"name": "a", "namespace": "b", "path": "c//d", "port": 0}}}}
		}},
		{"a webhook for no conversion", func(s, v node) {
			s["conversion"] = node{"strategy": "None", "webhook": node{"conversionReviewVersions": []any{"v1"}, "clientConfig": node{"url": "https://a.b/c"}}}
		}},
		{"a group of Kubernetes", func(s, v node) { s["group"] = "diff.k8s.io" }},
		{"an unknown field", func(s, v node) { s["wish"] = 1 }},
	}
	var out []ask.Case
	for i, e := range edits {
		p := placeOf(fmt.Sprintf("edit%d", i))
		def := p.definition(node{"type": "object", "properties": node{"spec": node{"type": "object", "properties": node{"a": node{"type": "string"}}}}}, nil)
		spec := def["spec"].(node)
		e.edit(spec, spec["versions"].([]any)[0].(node))
		if g, ok := spec["group"].(string); ok && g != p.group {
			def["metadata"] = node{"name": p.plural + "." + g}
			p.group = g
		}
		out = append(out, ask.Case{Name: e.name, Steps: []ask.Step{ask.Post(definitions, def),
			ask.Await(definitions+"/"+p.name(), ask.Condition{Condition: "Established"}), ask.Delete(definitions + "/" + p.name()),
			ask.Await(definitions+"/"+p.name(), ask.Condition{Code: 404})}})
	}
	p := placeOf("misnamed")
	def := p.definition(node{"type": "object"}, nil)
	def["metadata"] = node{"name": "other.x"}
	return append(out, ask.Case{Name: "a name that is not the resource's", Steps: []ask.Step{ask.Post(definitions, def)}})
}

func with(n node, key string, value any) node {
	out := node{}
	for k, v := range n {
		out[k] = v
	}
	out[key] = value
	return out
}
