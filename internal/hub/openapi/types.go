package openapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// typeLines are the definitions in the form that managed fields are reckoned with, sorted by name: name, tab, JSON, newline. They are
// kept apart because the hub needs some of them for its first write already, and not packed because it needs few: a definition is
// decoded when an object is written that has it.
//
//go:embed types.txt
var typeLines string

// The JSON form; tools/openapi/emit writes it.

type atom struct {
	Scalar schema.Scalar `json:"s"`
	List   *listDef      `json:"l"`
	Map    *mapDef       `json:"m"`
}

type typeRef struct {
	Named    *string                     `json:"t"`
	Relation *schema.ElementRelationship `json:"r"`
	atom
}

type listDef struct {
	Element  typeRef                    `json:"e"`
	Relation schema.ElementRelationship `json:"r"`
	Keys     []string                   `json:"k"`
}

type mapDef struct {
	Fields   []fieldDef                 `json:"f"`
	Element  typeRef                    `json:"e"`
	Relation schema.ElementRelationship `json:"r"`
}

type fieldDef struct {
	Name    string  `json:"n"`
	Type    typeRef `json:"t"`
	Default any     `json:"d"`
}

// Type decodes the definition of a type that structured-merge-diff compares values by; ok is false where there is none of that name.
// What it refers to it names.
func Type(name string) (def schema.TypeDef, ok bool, err error) {
	// The first line that begins at or after i, and what is left of the text from there.
	from := func(i int) string {
		if i == 0 {
			return typeLines
		}
		_, rest, _ := strings.Cut(typeLines[i-1:], "\n")
		return rest
	}
	at := sort.Search(len(typeLines), func(i int) bool {
		n, _, more := strings.Cut(from(i), "\t")
		return !more || n >= name
	})
	line, _, _ := strings.Cut(from(at), "\n")
	found, text, _ := strings.Cut(line, "\t")
	if found != name {
		return schema.TypeDef{}, false, nil
	}
	var a atom
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return schema.TypeDef{}, false, fmt.Errorf("type %s: %w", name, err)
	}
	return schema.TypeDef{Name: name, Atom: a.atom()}, true, nil
}

func (a atom) atom() schema.Atom {
	var out schema.Atom
	if a.Scalar != "" {
		out.Scalar = &a.Scalar
	}
	if l := a.List; l != nil {
		out.List = &schema.List{ElementType: l.Element.ref(), ElementRelationship: l.Relation, Keys: l.Keys}
	}
	if m := a.Map; m != nil {
		out.Map = &schema.Map{ElementType: m.Element.ref(), ElementRelationship: m.Relation}
		for _, f := range m.Fields {
			if n, ok := f.Default.(float64); ok && n == float64(int64(n)) {
				f.Default = int64(n)
			}
			out.Map.Fields = append(out.Map.Fields, schema.StructField{Name: f.Name, Type: f.Type.ref(), Default: f.Default})
		}
	}
	return out
}

func (r typeRef) ref() schema.TypeRef {
	return schema.TypeRef{NamedType: r.Named, Inlined: r.atom.atom(), ElementRelationship: r.Relation}
}
