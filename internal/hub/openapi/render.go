package openapi

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
)

// node is a JSON object; encoding/json writes its keys in order, so that equal documents have equal bytes.
type node = map[string]any

const (
	refV3 = "#/components/schemas/"
	refV2 = "#/definitions/"
)

var bearer = node{"description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey"}

// renderV3 encodes one document with the definitions that it reaches.
func renderV3(doc document, find finder, version string) ([]byte, error) {
	paths, schemas := node{}, node{}
	title, components := "Kubernetes", node{"securitySchemes": node{"BearerToken": bearer}}
	if doc.custom {
		title, version, components = "Kubernetes CRD Swagger", "v0.1.0", node{} // as upstream's other code has it
	}
	for _, it := range doc.items {
		p := node{}
		if len(it.params) > 0 {
			p["parameters"] = paramsV3(it.params)
		}
		for _, o := range it.ops {
			p[o.method] = o.v3()
			reach(o.body, find, schemas)
			reach(o.answer, find, schemas)
		}
		paths[it.path] = p
	}
	if len(schemas) > 0 {
		components["schemas"] = schemas
	}
	return json.Marshal(node{
		"openapi": "3.0.0", "info": node{"title": title, "version": version}, "paths": paths, "components": components,
	})
}

// finder returns the definition of a name, which is not to be changed; nil for none.
type finder func(name string) node

// reach adds the named definition and all that it refers to.
func reach(name string, find finder, into node) {
	if name == "" || into[name] != nil {
		return
	}
	def := find(name)
	if def == nil {
		return
	}
	into[name] = def
	walk(def, func(ref string) { reach(strings.TrimPrefix(ref, refV3), find, into) })
}

// walk calls f for every $ref under v.
func walk(v any, f func(ref string)) {
	switch v := v.(type) {
	case node:
		for k, c := range v {
			if s, ok := c.(string); ok && k == "$ref" {
				f(s)
				continue
			}
			walk(c, f)
		}
	case []any:
		for _, c := range v {
			walk(c, f)
		}
	}
}

func paramsV3(list []param) []any {
	var out []any
	for _, p := range list {
		n := node{"name": p.name, "in": p.in, "schema": node{"type": p.typ, "uniqueItems": true}}
		p.describe(n)
		out = append(out, n)
	}
	return out
}

func (p param) describe(n node) {
	if p.doc != "" {
		n["description"] = p.doc
	}
	if p.in == "path" {
		n["required"] = true
	}
}

func (o operation) common() node {
	n := node{"operationId": o.id, "description": o.doc, "tags": []string{o.tag}}
	if o.action != "" {
		n["x-kubernetes-action"] = o.action
		n["x-kubernetes-group-version-kind"] = node{"group": o.gvk.Group, "version": o.gvk.Version, "kind": o.gvk.Kind}
	}
	return n
}

var meaning = map[int]string{200: "OK", 201: "Created", 202: "Accepted"}

func schemaRef(prefix, name string) node {
	if name == "" {
		return node{"type": "string"}
	}
	return node{"$ref": prefix + name}
}

func (o operation) v3() node {
	n := o.common()
	if len(o.params) > 0 {
		n["parameters"] = paramsV3(o.params)
	}
	content := func(types []string, name string) node {
		c := node{}
		for _, t := range types {
			c[t] = node{"schema": schemaRef(refV3, name)}
		}
		return c
	}
	if o.body != "" {
		body := node{"content": content(o.consumes, o.body)}
		if o.needBody {
			body["required"] = true
		}
		n["requestBody"] = body
	}
	responses := node{"401": node{"description": "Unauthorized"}}
	for _, c := range o.codes {
		responses[strconv.Itoa(c)] = node{"description": meaning[c], "content": content(o.produces, o.answer)}
	}
	n["responses"] = responses
	return n
}

// renderV2 encodes all documents as one, with all definitions that they reach. models are made for it, but in the form of v3.
func renderV2(docs []document, models modelDefs, l *library, version string) ([]byte, error) {
	paths, schemas := node{}, node{}
	find := func(name string) node {
		if m := models.find(name); m != nil {
			return m
		}
		return l.v3(name)
	}
	for _, d := range docs {
		for _, it := range d.items {
			p := node{}
			if len(it.params) > 0 {
				p["parameters"] = paramsV2(it.params)
			}
			for _, o := range it.ops {
				p[o.method] = o.v2()
				reach(o.body, find, schemas)
				reach(o.answer, find, schemas)
			}
			paths[it.path] = p
		}
	}
	for name, def := range schemas {
		if v2 := l.v2(name); v2 != nil {
			def = v2
		}
		schemas[name] = schemaV2(def.(node))
	}
	return json.Marshal(node{
		"swagger": "2.0", "info": node{"title": "Kubernetes", "version": version}, "paths": paths, "definitions": schemas,
		"securityDefinitions": node{"BearerToken": bearer}, "security": []any{node{"BearerToken": []any{}}},
	})
}

// schemaV2 turns a v3 schema into its v2 form: other references, not wrapped in allOf, and no defaults.
func schemaV2(s node) node {
	out := node{}
	for k, v := range s {
		switch k {
		case "default":
		case "$ref":
			out[k] = refV2 + strings.TrimPrefix(v.(string), refV3)
		case "properties":
			props := node{}
			for name, p := range v.(node) {
				props[name] = schemaV2(p.(node))
			}
			out[k] = props
		case "items", "additionalProperties":
			if inner, ok := v.(node); ok {
				v = schemaV2(inner)
			}
			out[k] = v
		case "allOf":
			maps.Copy(out, schemaV2(v.([]any)[0].(node))) // a wrapped reference; there are no others
		default:
			out[k] = v
		}
	}
	return out
}

func paramsV2(list []param) []any {
	var out []any
	for _, p := range list {
		n := node{"name": p.name, "in": p.in, "type": p.typ, "uniqueItems": true}
		p.describe(n)
		out = append(out, n)
	}
	return out
}

func (o operation) v2() node {
	n := o.common()
	n["schemes"] = []string{"https"}
	n["produces"] = o.produces
	if o.consumes != nil {
		n["consumes"] = o.consumes
	}
	params := paramsV2(o.params)
	if o.body != "" {
		body := node{"in": "body", "name": "body", "schema": schemaRef(refV2, o.body)}
		if o.needBody {
			body["required"] = true
		}
		params = append([]any{body}, params...)
	}
	if len(params) > 0 {
		n["parameters"] = params
	}
	responses := node{"401": node{"description": "Unauthorized"}}
	for _, c := range o.codes {
		responses[strconv.Itoa(c)] = node{"description": meaning[c], "schema": schemaRef(refV2, o.answer)}
	}
	n["responses"] = responses
	return n
}
