package match

import (
	"context"
	"fmt"
	"reflect"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Version is the object of a write, and the one that it replaces, in one version. Who would change the object makes another and has
// Replace put it in its place.
type Version struct {
	Target
	Object, Old runtime.Object // nil where there is none

	encoded, encodedOld []byte // JSON, once somebody wants it
	cel                 *admission.VersionedAttributes
	fresh               func() runtime.Object // an empty one of Object's type
}

// Version makes the object as t wants it; the next who wants the same has the same.
func (r *Request) Version(ctx context.Context, t *Target) (*Version, error) {
	for _, v := range r.versions {
		if v.kind == t.kind {
			return v, nil
		}
	}
	v := &Version{Target: *t, fresh: func() runtime.Object { return t.kind.New() }}
	own := false // the object is the subresource's own, which has one version
	if s := t.kind.Sub(r.Subresource); s != nil && !s.GVK.Empty() {
		own, v.fresh = true, s.New
	}
	var err error
	if v.Object, err = converted(ctx, t.kind, r.Object, own); err != nil {
		return nil, err
	}
	if v.Object != nil && v.Object.GetObjectKind().GroupVersionKind().Empty() { // the body of a subresource, as it was decoded
		v.Object.GetObjectKind().SetGroupVersionKind(t.Kind)
	}
	if v.Old, err = converted(ctx, t.kind, r.Old, own); err != nil {
		return nil, err
	}
	r.versions = append(r.versions, v)
	return v, nil
}

func converted(ctx context.Context, k *api.Kind, obj runtime.Object, own bool) (runtime.Object, error) {
	o, ok := obj.(api.Object)
	if own || k.View == nil || !ok {
		return obj, nil
	}
	out, err := k.View.To(ctx, o)
	if err != nil {
		return nil, err
	}
	out.GetObjectKind().SetGroupVersionKind(k.GVK())
	return out, nil
}

// Replace puts obj in place of the object of v, which somebody changed: defaults are filled in, and what admission goes on with is
// made of it. It reports whether anything has changed.
func (r *Request) Replace(ctx context.Context, v *Version, obj runtime.Object) (bool, error) {
	o, isObject := obj.(api.Object)
	own := !isObject || v.kind.Sub(r.Subresource) != nil && !v.kind.Sub(r.Subresource).GVK.Empty()
	switch {
	case !own && v.kind.Default != nil:
		v.kind.Default(o)
	case own && isObject:
		if s := v.kind.Sub(r.Subresource); s != nil && s.Default != nil {
			s.Default(o)
		}
	}
	if equality.Semantic.DeepEqual(v.Object, obj) {
		return false, nil
	}
	r.keepManagers(v.Object, obj)
	if own || v.kind.View == nil {
		if err := become(r.Object, obj); err != nil {
			return false, err
		}
		v.Object = r.Object
	} else {
		stored, err := v.kind.View.From(ctx, o)
		if err != nil {
			return false, err
		}
		stored.GetObjectKind().SetGroupVersionKind(r.Kind.GVK())
		if err := become(r.Object, stored); err != nil {
			return false, err
		}
		v.Object = obj
	}
	v.encoded, v.cel = nil, nil
	r.versions = []*Version{v}
	return true, nil
}

const badManagers = ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: %v"

// keepManagers puts managed fields back that cannot be read any more.
func (r *Request) keepManagers(was, is runtime.Object) {
	o, ok := is.(api.Object)
	before, ok2 := was.(api.Object)
	if !ok || !ok2 {
		return
	}
	if err := managedfields.ValidateManagedFields(o.GetManagedFields()); err != nil {
		o.SetManagedFields(before.GetManagedFields())
		r.Warn(fmt.Sprintf(badManagers, err))
	}
}

// become makes obj what other is; both are of one type. The verb holds obj.
func become(obj, other runtime.Object) error {
	to, from := reflect.ValueOf(obj), reflect.ValueOf(other)
	if to.Kind() != reflect.Pointer || to.Type() != from.Type() || to.IsNil() {
		return fmt.Errorf("%T cannot become %T", obj, other)
	}
	to.Elem().Set(from.Elem())
	return nil
}

// Fresh is an empty object of the type that the version's object has.
func (v *Version) Fresh() runtime.Object {
	if _, ok := v.Object.(*unstructured.Unstructured); ok {
		return &unstructured.Unstructured{}
	}
	if v.fresh == nil {
		return reflect.New(reflect.TypeOf(v.Object).Elem()).Interface().(runtime.Object)
	}
	return v.fresh()
}

// JSON are the object and the old one as webhooks are sent them; "null" where there is none.
func (v *Version) JSON() (object, old []byte, err error) {
	if v.encoded == nil {
		if v.encoded, err = encode(v.Object); err != nil {
			return nil, nil, err
		}
	}
	if v.encodedOld == nil {
		v.encodedOld, err = encode(v.Old)
	}
	return v.encoded, v.encodedOld, err
}

func encode(obj runtime.Object) ([]byte, error) {
	if obj == nil {
		return []byte("null"), nil
	}
	return api.EncodeJSON(obj)
}

// CEL is the write in the version as CEL's library knows it.
func (r *Request) CEL(v *Version) *admission.VersionedAttributes {
	if v.cel == nil {
		who := &user.DefaultInfo{Name: r.User.Name, UID: r.User.UID, Groups: r.User.Groups, Extra: r.User.Extra}
		record := admission.NewAttributesRecord(v.Object, v.Old, r.ObjectKind(), r.Namespace, r.ToldName(), r.kind.GVR(), r.Subresource,
			admission.Operation(r.Operation), r.Options, r.DryRun, who)
		v.cel = &admission.VersionedAttributes{Attributes: record, VersionedKind: v.Kind}
		v.cel.VersionedObject.Set(v.Object)
		v.cel.VersionedOldObject.Set(v.Old)
	}
	return v.cel
}
