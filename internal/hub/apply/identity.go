package apply

import (
	"fmt"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// identity is the converter, defaulter and creater that managedfields asks for. There is one version of everything here, so that
// converting means only to make typed objects of unstructured ones and to see to it that apiVersion and kind are set.
type identity struct{ target }

var (
	_ runtime.ObjectConvertor = identity{}
	_ runtime.ObjectDefaulter = identity{}
	_ runtime.ObjectCreater   = identity{}
)

// ConvertToVersion returns in as a typed object; in itself when it is one already.
func (i identity) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok {
		return named(in)
	}
	out, err := i.empty()
	if err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.UnstructuredContent(), out); err != nil {
		return nil, fmt.Errorf("unable to convert unstructured object to %v: %w", i.gvk(), err)
	}
	return out, nil
}

// Convert is not used by managedfields.
func (i identity) Convert(in, out, context any) error {
	return fmt.Errorf("convert %T to %T: there is one version only", in, out)
}

// ConvertFieldLabel is not used by managedfields.
func (i identity) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// Default fills what the caller left unset.
func (i identity) Default(obj runtime.Object) { i.fill(obj) }

// New returns an empty object.
func (i identity) New(schema.GroupVersionKind) (runtime.Object, error) { return i.empty() }

// named returns obj with apiVersion and kind set. obj may be frozen, so it is copied when they are not.
func named(obj runtime.Object) (runtime.Object, error) {
	if !obj.GetObjectKind().GroupVersionKind().Empty() {
		return obj, nil
	}
	obj = obj.DeepCopyObject()
	return obj, api.SetGVK(obj)
}
