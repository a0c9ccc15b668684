package openapi

import (
	_ "embed"
	"fmt"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// encodedTypes are the definitions in the form that managed fields are reckoned with. They are kept apart because the hub needs
// them for its first write already: making them of the definitions takes 25 ms and 10 MB, reading these a tenth of it.
//
//go:embed types.json.gz
var encodedTypes []byte

// The JSON form; tools/openapi/emit writes it.

type typeDef struct {
	Name string `json:"n"`
	atom
}

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

// Types decodes the types that structured-merge-diff compares objects by. Each call decodes anew.
func Types() ([]schema.TypeDef, error) {
	var defs []typeDef
	if err := unpack(encodedTypes, &defs); err != nil {
		return nil, fmt.Errorf("types of managed fields: %w", err)
	}
	out := make([]schema.TypeDef, len(defs))
	for i, d := range defs {
		out[i] = schema.TypeDef{Name: d.Name, Atom: d.atom.atom()}
	}
	return out, nil
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
