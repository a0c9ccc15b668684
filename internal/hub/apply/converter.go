package apply

import (
	"fmt"
	"sync"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	smdschema "sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Types finds the definition of a type by its name, which for a kind is that which the scheme gives it; ok is false where there is none.
type Types func(name string) (def smdschema.TypeDef, ok bool, err error)

// converter turns objects into the values that managed fields are reckoned with, and back. It has the types of the kinds that have
// been written, each found once or, by several at once, more often with one result.
type converter struct {
	find  Types
	defs  sync.Map // by name -> smdschema.TypeDef
	kinds sync.Map // schema.GroupVersionKind -> typed.ParseableType
}

const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

// def finds the definition of a type.
func (c *converter) def(name string) (def smdschema.TypeDef, ok bool, err error) {
	if d, ok := c.defs.Load(name); ok {
		return d.(smdschema.TypeDef), true, nil
	}
	def, ok, err = c.find(name)
	if ok && err == nil {
		c.defs.Store(name, def)
	}
	return def, ok, err
}

// reached are the definitions of a type and of all that it refers to. One that is not known is left out: values of it are an error.
func (c *converter) reached(name string) (out []smdschema.TypeDef, err error) {
	seen := map[string]bool{}
	var visit func(smdschema.TypeRef)
	atom := func(a smdschema.Atom) {
		if a.List != nil {
			visit(a.List.ElementType)
		}
		if a.Map != nil {
			visit(a.Map.ElementType)
			for _, f := range a.Map.Fields {
				visit(f.Type)
			}
		}
	}
	visit = func(r smdschema.TypeRef) {
		switch {
		case r.NamedType == nil:
			atom(r.Inlined)
		case !seen[*r.NamedType] && err == nil:
			seen[*r.NamedType] = true
			d, ok, failed := c.def(*r.NamedType)
			if err = failed; ok && err == nil {
				out = append(out, d)
				atom(d.Atom)
			}
		}
	}
	visit(smdschema.TypeRef{NamedType: &name})
	return out, err
}

// of returns the type of the objects of a kind.
func (c *converter) of(gvk schema.GroupVersionKind) (typed.ParseableType, error) {
	if t, ok := c.kinds.Load(gvk); ok {
		return t.(typed.ParseableType), nil
	}
	name, err := api.Scheme.ToOpenAPIDefinitionName(gvk)
	if err != nil {
		return typed.ParseableType{}, err
	}
	defs, err := c.reached(name)
	if err != nil {
		return typed.ParseableType{}, fmt.Errorf("type of %s: %w", gvk, err)
	}
	p := typed.Parser{Schema: smdschema.Schema{Types: defs}}
	t, _ := c.kinds.LoadOrStore(gvk, p.Type(name))
	return t.(typed.ParseableType), nil
}

// ObjectToTyped checks unstructured objects against their type. Go structs are not checked, which would take half of the time that
// the managed fields of a write take: what fits into the struct fits the type that was made of it.
func (c *converter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	of, err := c.of(obj.GetObjectKind().GroupVersionKind())
	if err != nil {
		return nil, err
	}
	if u, ok := obj.(*unstructured.Unstructured); ok {
		return of.FromUnstructured(u.UnstructuredContent(), opts...)
	}
	v, err := value.NewValueReflect(obj)
	if err != nil {
		return nil, fmt.Errorf("value of %T: %w", obj, err)
	}
	return typed.AsTypedUnvalidated(v, of.Schema, of.TypeRef), nil
}

// TypedToObject returns an unstructured object.
func (c *converter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) { return toObject(v) }

func toObject(v *typed.TypedValue) (runtime.Object, error) {
	u, ok := v.AsValue().Unstructured().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("failed to convert value to unstructured for type %T", v.AsValue().Unstructured())
	}
	return &unstructured.Unstructured{Object: u}, nil
}
