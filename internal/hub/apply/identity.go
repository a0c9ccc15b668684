package apply

import (
	"context"
	"fmt"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// identity is the converter, defaulter and creater that managedfields asks for. Of a kind with a Go type there is one version, so
// that converting means only to make typed objects of unstructured ones and to see to it that apiVersion and kind are set. The
// versions of other kinds are converted through the one that is stored.
type identity struct {
	target
	kinds func(schema.GroupVersionKind) *api.Kind
}

var (
	_ runtime.ObjectConvertor = identity{}
	_ runtime.ObjectDefaulter = identity{}
	_ runtime.ObjectCreater   = identity{}
)

// ConvertToVersion returns in as a typed object, or as an unstructured one in the version asked for; in itself when it is that
// already.
func (i identity) ConvertToVersion(in runtime.Object, to runtime.GroupVersioner) (runtime.Object, error) {
	if i.untyped() {
		return i.version(in, to)
	}
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

// version converts an unstructured object. A version that is not served is an error by which managedfields lets go of who owns
// fields in it.
func (i identity) version(in runtime.Object, to runtime.GroupVersioner) (runtime.Object, error) {
	have := in.GetObjectKind().GroupVersionKind()
	want, ok := to.KindForGroupVersionKinds([]schema.GroupVersionKind{have, i.gvk()})
	if ok && want == have {
		return in, nil
	}
	if want.Empty() {
		return nil, runtime.NewNotRegisteredErrForKind("apply", have)
	}
	obj, ok := in.(api.Object)
	if v := i.kind.Versions; v != nil && ok {
		return v.Convert(context.Background(), obj, want.Version)
	}
	from, into := i.find(have), i.find(want)
	if !ok || from == nil || into == nil {
		return nil, runtime.NewNotRegisteredErrForKind("apply", want)
	}
	ctx := context.Background() // managedfields has none to pass on
	var err error
	if from.View != nil {
		if obj, err = from.View.From(ctx, obj); err != nil {
			return nil, err
		}
	}
	if into.View != nil {
		if obj, err = into.View.To(ctx, obj); err != nil {
			return nil, err
		}
	}
	obj.GetObjectKind().SetGroupVersionKind(want)
	return obj, nil
}

func (i identity) find(gvk schema.GroupVersionKind) *api.Kind {
	if gvk == i.kind.GVK() {
		return i.kind
	}
	if i.kinds == nil {
		return nil
	}
	return i.kinds(gvk)
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
