package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"k8s.io/kube-openapi/pkg/schemaconv"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// The library's own form of its schema is YAML, which takes long to read. This one mirrors it in plain JSON;
// internal/hub/openapi/types.go reads it and has the same fields.

type typeDef struct {
	Name string `json:"n"`
	atom
}

type atom struct {
	Scalar string   `json:"s,omitempty"`
	List   *listDef `json:"l,omitempty"`
	Map    *mapDef  `json:"m,omitempty"`
}

type typeRef struct {
	Named    string `json:"t,omitempty"`
	Relation string `json:"r,omitempty"`
	atom
}

type listDef struct {
	Element  typeRef  `json:"e"`
	Relation string   `json:"r,omitempty"`
	Keys     []string `json:"k,omitempty"`
}

type mapDef struct {
	Fields   []fieldDef `json:"f,omitempty"`
	Element  *typeRef   `json:"e,omitempty"`
	Relation string     `json:"r,omitempty"`
}

type fieldDef struct {
	Name    string  `json:"n"`
	Type    typeRef `json:"t"`
	Default any     `json:"d,omitempty"`
}

func typesOf(defs map[string]*spec.Schema) ([]typeDef, error) {
	s, err := schemaconv.ToSchemaFromOpenAPI(defs, false)
	if err != nil {
		return nil, err
	}
	var out []typeDef
	for _, t := range s.Types {
		out = append(out, typeDef{t.Name, atomOf(t.Atom)})
	}
	slices.SortFunc(out, func(a, b typeDef) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func atomOf(a schema.Atom) atom {
	var out atom
	if a.Scalar != nil {
		out.Scalar = string(*a.Scalar)
	}
	if l := a.List; l != nil {
		out.List = &listDef{refOf(l.ElementType), string(l.ElementRelationship), l.Keys}
	}
	if m := a.Map; m != nil {
		if m.Unions != nil {
			panic("unions are not written")
		}
		out.Map = &mapDef{Relation: string(m.ElementRelationship)}
		if e := refOf(m.ElementType); e != (typeRef{}) {
			out.Map.Element = &e
		}
		for _, f := range m.Fields {
			out.Map.Fields = append(out.Map.Fields, fieldDef{f.Name, refOf(f.Type), f.Default})
		}
		slices.SortFunc(out.Map.Fields, func(a, b fieldDef) int { return cmp.Compare(a.Name, b.Name) })
	}
	return out
}

func refOf(r schema.TypeRef) typeRef {
	out := typeRef{atom: atomOf(r.Inlined)}
	if r.NamedType != nil {
		out.Named = *r.NamedType
	}
	if r.ElementRelationship != nil {
		out.Relation = string(*r.ElementRelationship)
	}
	return out
}

// writeTypes writes a line for each type: its name, a tab and the rest as JSON.
func writeTypes(file string, types []typeDef) error {
	var b bytes.Buffer
	for _, t := range types {
		data, err := json.Marshal(t.atom)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s\t%s\n", t.Name, data)
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}
