package apply

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// Track records in obj.metadata.managedFields what manager changed by a create (old is nil) or an update, of the main resource
// (sub is "") or of a subresource whose body is the kind itself. It runs before mutating admission. obj is changed; old is
// frozen. Managed fields that cannot be reckoned are kept as old had them: a write never fails for their sake.
func (e *Engine) Track(k *api.Kind, sub string, obj, old api.Object, manager string) {
	t := target{k, sub}
	if err := e.track(t, obj, old, manager); err != nil {
		untrack(obj, old)
	}
}

// untrack is what becomes of managed fields that cannot be reckoned, as those of an object that its kind's model does not fit: they
// stay as they were.
func untrack(obj, old api.Object) {
	if old == nil {
		obj.SetManagedFields(nil)
		return
	}
	obj.SetManagedFields(old.GetManagedFields())
}

func (e *Engine) track(t target, obj, old api.Object, manager string) error {
	m, err := e.manager(t)
	if err != nil {
		return err
	}
	if err := api.SetGVK(obj); err != nil {
		return err
	}
	creating := old == nil
	if creating {
		if old, err = t.empty(); err != nil {
			return err
		}
	}
	short := t.without(obj)
	if err := e.fit(t, obj); err != nil {
		return err
	}
	reckon := func(was api.Object) error {
		_, err := m.Update(was, short, manager) // changes and returns short
		return err
	}
	if creating {
		err = e.made.of(t, short, manager, func() error { return reckon(t.without(old)) })
	} else if was := t.without(old); t.untyped() || !e.onlyLeaves(t, short, was, manager) {
		dropEqual(short, was)
		err = reckon(was)
	}
	if err != nil {
		return err
	}
	obj.SetManagedFields(short.GetManagedFields())
	return nil
}

// fit checks that what without takes off an object of a kind with a model is of the type that it is to be. Upstream tells nobody's
// fields of an object that is not.
func (e *Engine) fit(t target, obj api.Object) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok || t.kind.Model == nil {
		return nil
	}
	for _, p := range t.resetPaths() {
		if _, ok := u.Object[p]; ok && p != "metadata" {
			of, err := e.models.of(t.kind)
			if err == nil {
				_, err = of.FromUnstructured(u.Object, typed.AllowDuplicates)
			}
			return err
		}
	}
	return nil
}

// without returns obj without the top-level fields that a write through the target does not own anyway: comparing a pod's spec on
// every change of its status would take most of the time. The copy is shallow.
func (t target) without(obj api.Object) api.Object {
	codec := t.codec()
	out := codec.Shallow(obj)
	for _, p := range t.resetPaths() {
		if p != "metadata" && !strings.Contains(p, ".") { // in the metadata is who owns what
			codec.Drop(out, p)
		}
	}
	return out
}

// dropEqual clears what two versions of an object have in common, field by field of their metadata, spec, status and the like:
// it has no part in what changes hands, and comparing by schema is slow. Both are copies as without makes them.
func dropEqual(a, b api.Object) {
	if _, untyped := a.(runtime.Unstructured); untyped {
		return
	}
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range va.NumField() {
		switch fa, fb := va.Field(i), vb.Field(i); {
		case fa.Type() == typeMetaType:
		case fa.Type() == objectMetaType:
			dropEqualMeta(fa.Addr().Interface().(*metav1.ObjectMeta), fb.Addr().Interface().(*metav1.ObjectMeta))
		case fa.Kind() == reflect.Struct:
			for j := range fa.NumField() {
				dropIfEqual(fa.Field(j), fb.Field(j))
			}
		default:
			dropIfEqual(fa, fb)
		}
	}
}

func dropIfEqual(a, b reflect.Value) {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		a.SetZero()
		b.SetZero()
	}
}

func dropEqualMeta(a, b *metav1.ObjectMeta) {
	if maps.Equal(a.Labels, b.Labels) {
		a.Labels, b.Labels = nil, nil
	}
	if maps.Equal(a.Annotations, b.Annotations) {
		a.Annotations, b.Annotations = nil, nil
	}
	if reflect.DeepEqual(a.OwnerReferences, b.OwnerReferences) {
		a.OwnerReferences, b.OwnerReferences = nil, nil
	}
	if slices.Equal(a.Finalizers, b.Finalizers) {
		a.Finalizers, b.Finalizers = nil, nil
	}
}

// Manager is the name a write is recorded under: the fieldManager option or else what precedes the first slash of the user
// agent, printable characters only, at most 128 bytes.
func Manager(option, userAgent string) string {
	if option != "" {
		return option
	}
	agent, _, _ := strings.Cut(userAgent, "/")
	var b strings.Builder
	for _, r := range agent {
		if !unicode.IsPrint(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > validation.FieldManagerMaxLength {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// CheckFields says what is wrong with managed fields, as an admission plugin may have left them. Upstream then restores those from
// before admission and warns.
func CheckFields(entries []metav1.ManagedFieldsEntry) error {
	return managedfields.ValidateManagedFields(entries)
}

// OnlyTimes reports whether the managed fields of obj and old differ, and in nothing but their times: then nothing else may
// differ between the two, and a write that changes nothing else is to be seen to change nothing.
func OnlyTimes(obj, old api.Object) bool {
	was, is := old.GetManagedFields(), obj.GetManagedFields()
	differ := false
	return len(was) == len(is) && slices.EqualFunc(was, is, func(a, b metav1.ManagedFieldsEntry) bool {
		differ = differ || !a.Time.Equal(b.Time)
		return sameButTime(a, b)
	}) && differ
}

func sameButTime(a, b metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.FieldsType == b.FieldsType &&
		a.Subresource == b.Subresource && bytes.Equal(rawFields(a), rawFields(b))
}

func rawFields(e metav1.ManagedFieldsEntry) []byte {
	if e.FieldsV1 == nil {
		return nil
	}
	return e.FieldsV1.Raw
}
