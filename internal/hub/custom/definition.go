package custom

import (
	"context"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apiextensions"
	"sampan.dev/internal/hub/custom/schema"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kschema "k8s.io/apimachinery/pkg/runtime/schema"
)

// definition is what is kept of a custom resource definition while it is served. It never changes: another takes its place.
type definition struct {
	group, kind string
	storage     string // the version in which objects are written
	schemas     map[string]*schema.Schema
	converter   converter
}

// converter turns an object of one version into another.
type converter interface {
	// convert returns a new object; obj is frozen.
	convert(ctx context.Context, obj *unstructured.Unstructured, to kschema.GroupVersion) (*unstructured.Unstructured, error)
}

// define notes what is to be kept of d. Source returns the whole of it.
func define(d *apiextensions.Definition, source schema.Source, convert converter) *definition {
	out := &definition{group: d.Spec.Group, kind: d.Status.AcceptedNames.Kind, schemas: map[string]*schema.Schema{}, converter: convert}
	for _, v := range d.Spec.Versions {
		out.schemas[v.Name] = schema.New(source, v.Name)
		if v.Storage {
			out.storage = v.Name
		}
	}
	return out
}

// schemaOf is the schema of the version that an object is in; nil when there is none.
func (d *definition) schemaOf(obj *unstructured.Unstructured) *schema.Schema {
	gv, err := kschema.ParseGroupVersion(obj.GetAPIVersion())
	if err != nil || gv.Group != d.group {
		return nil
	}
	return d.schemas[gv.Version]
}

// coerce implements api.Kind's Coerce.
func (d *definition) coerce(obj api.Object, check bool) ([]string, error) {
	u := obj.(*unstructured.Unstructured)
	from := schema.Sent
	if check {
		from = schema.Checked
	}
	if s := d.schemaOf(u); s != nil {
		return s.Coerce(u.Object, from)
	}
	return nil, nil // another version or kind, which whoever asked for this one refuses
}

// setDefaults implements api.Kind's Default. Whoever has an object has had it coerced, which fails where this could.
func (d *definition) setDefaults(obj api.Object) {
	u := obj.(*unstructured.Unstructured)
	if s := d.schemaOf(u); s != nil {
		_ = s.Default(u.Object)
	}
}

// codec keeps the objects of a definition as JSON.
type codec struct {
	api.Unstructured
	of *definition
}

var _ api.Codec = codec{}

// Decode implements api.Codec. What the definition no longer has is dropped.
func (c codec) Decode(data []byte, fresh api.Object) (api.Object, error) {
	obj, err := c.Unstructured.Decode(data, fresh)
	if err != nil {
		return nil, err
	}
	u := obj.(*unstructured.Unstructured)
	if s := c.of.schemaOf(u); s != nil {
		if _, err := s.Coerce(u.Object, schema.Stored); err != nil {
			return nil, fmt.Errorf("decode stored: %w", err)
		}
	}
	return u, nil
}

// Settle implements api.Codec. An object that was applied, or changed by admission, may still have what the schema has no place for.
func (c codec) Settle(obj api.Object) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		if s := c.of.schemaOf(u); s != nil {
			s.Settle(u.Object)
		}
	}
	c.Unstructured.Settle(obj)
}

// convert implements api.Versions' Convert.
func (d *definition) convert(ctx context.Context, obj api.Object, version string) (api.Object, error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("input type %T in not valid for unstructured conversion", obj)
	}
	from, to := u.GroupVersionKind().GroupVersion(), kschema.GroupVersion{Group: d.group, Version: version}
	switch {
	case d.schemas[to.Version] == nil:
		return nil, fmt.Errorf("request to convert CR to an invalid group/version: %s", to)
	case from.Group != d.group || d.schemas[from.Version] == nil:
		return nil, fmt.Errorf("request to convert CR from an invalid group/version: %s", from)
	case from == to:
		return obj, nil
	}
	out, err := d.converter.convert(ctx, u, to)
	if err != nil {
		return nil, err
	}
	if _, err := d.schemas[to.Version].Coerce(out.Object, schema.Sent); err != nil {
		return nil, err
	}
	return out, nil
}

// none is the converter of definitions whose versions differ in nothing but their name.
type none struct{}

func (none) convert(_ context.Context, obj *unstructured.Unstructured, to kschema.GroupVersion) (*unstructured.Unstructured, error) {
	out := obj.DeepCopy()
	out.SetAPIVersion(to.String())
	return out, nil
}

// accepted reports whether a definition is served.
func accepted(d *apiextensions.Definition) bool {
	n := &d.Status.AcceptedNames
	return n.Plural != "" && n.Singular != "" && n.Kind != "" && n.ListKind != "" &&
		(apiextensions.IsTrue(d, apiextensionsv1.NamesAccepted) || apiextensions.IsTrue(d, apiextensionsv1.Established))
}
