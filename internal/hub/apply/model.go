package apply

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/schemaconv"
	"k8s.io/kube-openapi/pkg/validation/spec"
	smdschema "sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// models are the types of kinds that have a model instead of a Go type, each made when an object of the kind is first written.
type models struct {
	types *converter // has the types of metadata, to which models refer
	by    sync.Map   // *api.Kind -> typed.ParseableType
}

// of returns the type of the objects of a kind.
func (m *models) of(k *api.Kind) (typed.ParseableType, error) {
	if t, ok := m.by.Load(k); ok {
		return t.(typed.ParseableType), nil
	}
	t, err := m.make(k)
	if err != nil {
		return t, fmt.Errorf("type of %s: %w", k.GVK(), err)
	}
	m.by.Store(k, t)
	return t, nil
}

func (m *models) make(k *api.Kind) (typed.ParseableType, error) {
	if k.Model == nil {
		return typed.DeducedParseableType, nil
	}
	root, err := k.Model.Fields()
	if err != nil {
		return typed.ParseableType{}, err
	}
	if root == nil {
		return typed.DeducedParseableType, nil
	}
	const name = "object" // no name of a Go type, which all have dots
	made, err := schemaconv.ToSchemaFromOpenAPI(map[string]*spec.Schema{name: root}, k.Model.KeepUnknown)
	if err != nil {
		return typed.ParseableType{}, err
	}
	meta, err := m.meta()
	if err != nil {
		return typed.ParseableType{}, err
	}
	p := typed.Parser{Schema: smdschema.Schema{Types: append(made.Types, meta...)}}
	return p.Type(name), nil
}

// meta are the types of metadata, without the library's own, which every schema that it makes has.
func (m *models) meta() ([]smdschema.TypeDef, error) {
	defs, err := m.types.reached(objectMeta)
	return slices.DeleteFunc(defs, func(d smdschema.TypeDef) bool { return strings.HasPrefix(d.Name, "__untyped_") }), err
}

// forget drops the types of kinds that are not served.
func (m *models) forget(served func(*api.Kind) bool) {
	m.by.Range(func(k, _ any) bool {
		if !served(k.(*api.Kind)) {
			m.by.Delete(k)
		}
		return true
	})
}

// modelled turns objects of all versions of a kind into values and back.
type modelled struct {
	models *models
	find   func(schema.GroupVersionKind) *api.Kind
}

// ObjectToTyped checks an object against the model of its kind. A kind that is not served is an error by which managedfields lets
// go of who owns fields in it.
func (m modelled) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	gvk := obj.GetObjectKind().GroupVersionKind()
	u, ok := obj.(*unstructured.Unstructured)
	k := m.find(gvk)
	if k == nil || !ok {
		return nil, runtime.NewNotRegisteredErrForKind("apply", gvk)
	}
	t, err := m.models.of(k)
	if err != nil {
		return nil, err
	}
	return t.FromUnstructured(u.UnstructuredContent(), opts...)
}

// TypedToObject returns an unstructured object.
func (m modelled) TypedToObject(v *typed.TypedValue) (runtime.Object, error) { return toObject(v) }
