package apply

import (
	"fmt"
	"strings"
	"sync"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	smdschema "sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// converter turns objects into the values that managed fields are reckoned with, and back.
type converter struct {
	parser typed.Parser
	names  sync.Map                   // schema.GroupVersionKind -> string
	meta   func() []smdschema.TypeDef // the types of ObjectMeta, found once
}

func newConverter(defs []smdschema.TypeDef) *converter {
	c := &converter{parser: typed.Parser{Schema: smdschema.Schema{Types: defs}}}
	c.meta = sync.OnceValue(func() []smdschema.TypeDef { return reached(defs, objectMeta) })
	return c
}

const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

// reached are the definitions of a type and of those that it refers to, without the library's own, which every schema has.
func reached(defs []smdschema.TypeDef, name string) []smdschema.TypeDef {
	by := map[string]smdschema.TypeDef{}
	for _, d := range defs {
		by[d.Name] = d
	}
	var out []smdschema.TypeDef
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
		if r.NamedType == nil {
			atom(r.Inlined)
			return
		}
		d, ok := by[*r.NamedType]
		if !ok || strings.HasPrefix(d.Name, "__untyped_") {
			return
		}
		delete(by, d.Name)
		out = append(out, d)
		atom(d.Atom)
	}
	visit(smdschema.TypeRef{NamedType: &name})
	return out
}

// ObjectToTyped checks unstructured objects against their type. Go structs are not checked, which would take half of the time that
// the managed fields of a write take: what fits into the struct fits the type that was made of it.
func (c *converter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	name, err := c.name(obj.GetObjectKind().GroupVersionKind())
	if err != nil {
		return nil, err
	}
	of := c.parser.Type(name)
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

func (c *converter) name(gvk schema.GroupVersionKind) (string, error) {
	if n, ok := c.names.Load(gvk); ok {
		return n.(string), nil
	}
	n, err := api.Scheme.ToOpenAPIDefinitionName(gvk)
	if err == nil {
		c.names.Store(gvk, n)
	}
	return n, err
}
