package openapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Resolve returns the schema of a kind with a Go type, with what its references lead to in their places; where a type contains
// itself there is an object without fields. It reads the definitions anew each time, which takes some 25 ms: nobody asks often.
func Resolve(gvk schema.GroupVersionKind) (*spec.Schema, error) {
	name, err := api.Scheme.ToOpenAPIDefinitionName(gvk)
	if err != nil {
		return nil, err
	}
	var defs definitions[json.RawMessage]
	if err := unpack(compressed, &defs); err != nil {
		return nil, err
	}
	r := resolver{defs: defs, above: map[string]bool{}}
	return r.named(name)
}

type resolver struct {
	defs  definitions[json.RawMessage]
	above map[string]bool // the definitions that the current one is in
}

func (r *resolver) named(name string) (*spec.Schema, error) {
	data, ok := r.defs.V2[name]
	if !ok {
		data, ok = r.defs.V3[name]
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("no definition of %s", name)
	case r.above[name]:
		return &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}, nil
	}
	r.above[name] = true
	defer delete(r.above, name)
	s := &spec.Schema{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("definition of %s: %w", name, err)
	}
	return r.whole(s)
}

// whole replaces the references in s, and s itself if it is one.
func (r *resolver) whole(s *spec.Schema) (*spec.Schema, error) {
	if name := refOf(s); name != "" {
		return r.named(name)
	}
	for key, p := range s.Properties {
		w, err := r.whole(&p)
		if err != nil {
			return nil, err
		}
		s.Properties[key] = *w
	}
	if a := s.AdditionalProperties; a != nil && a.Schema != nil {
		w, err := r.whole(a.Schema)
		if err != nil {
			return nil, err
		}
		a.Schema = w
	}
	if s.Items != nil && s.Items.Schema != nil {
		w, err := r.whole(s.Items.Schema)
		if err != nil {
			return nil, err
		}
		s.Items.Schema = w
	}
	return s, nil
}

// refOf is the definition that a schema refers to; a reference may stand in an allOf, so that it can have a description of its own.
func refOf(s *spec.Schema) string {
	ref := s.Ref.String()
	for i := 0; ref == "" && i < len(s.AllOf); i++ {
		ref = s.AllOf[i].Ref.String()
	}
	return strings.TrimPrefix(strings.TrimPrefix(ref, refV3), refV2)
}
