package apply

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/util/managedfields"
)

// Track records in obj.metadata.managedFields what manager changed by a create (old is nil) or an update, of the main resource
// (sub is "") or of a subresource whose body is the kind itself. It runs before mutating admission. obj is changed; old is
// frozen. Managed fields that cannot be reckoned are kept as old had them: a write never fails for their sake.
func (e *Engine) Track(k *api.Kind, sub string, obj, old api.Object, manager string) {
	t := target{k, sub}
	if err := e.track(t, obj, old, manager); err != nil && old != nil {
		obj.SetManagedFields(old.GetManagedFields())
	}
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
	reckon := func(was api.Object) error {
		_, err := m.Update(was, short, manager) // changes and returns short
		return err
	}
	if creating {
		err = e.made.of(t, short, manager, func() error { return reckon(t.without(old)) })
	} else if was := t.without(old); !e.onlyLeaves(t, short, was, manager) {
		err = reckon(was)
	}
	if err != nil {
		return err
	}
	obj.SetManagedFields(short.GetManagedFields())
	return nil
}

// without returns obj without the top-level fields that a write through the target does not own anyway: comparing a pod's spec on
// every change of its status would take most of the time. The copy is shallow.
func (t target) without(obj api.Object) api.Object {
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return obj
	}
	out := reflect.New(v.Elem().Type())
	out.Elem().Set(v.Elem())
	for _, p := range t.resetPaths() {
		if strings.Contains(p, ".") {
			continue
		}
		if f := out.Elem().FieldByName(strings.ToUpper(p[:1]) + p[1:]); f.IsValid() {
			f.SetZero()
		}
	}
	return out.Interface().(api.Object)
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

// KeepTimes gives the managed fields of obj the times that old has when nothing else differs between the two, so that a
// write which changes nothing is seen to change nothing. It runs last before obj is stored.
func KeepTimes(obj, old api.Object) {
	was, is := old.GetManagedFields(), obj.GetManagedFields()
	if len(was) != len(is) || len(is) == 0 {
		return
	}
	changed := false
	for i := range is {
		changed = changed || !is[i].Time.Equal(was[i].Time)
	}
	if !changed || !timeless.DeepEqual(was, is) || !timeless.DeepEqual(obj, old) {
		return
	}
	kept := make([]metav1.ManagedFieldsEntry, len(is))
	for i := range is {
		kept[i] = is[i]
		kept[i].Time = was[i].Time
	}
	obj.SetManagedFields(kept)
}

// timeless compares as equality.Semantic does, but for the times of managed fields.
var timeless = func() conversion.Equalities {
	eq := equality.Semantic.Copy()
	if err := eq.AddFuncs(func(a, b metav1.ManagedFieldsEntry) bool {
		a.Time, b.Time = nil, nil
		return reflect.DeepEqual(a, b)
	}); err != nil {
		panic(err) // a function of the wrong shape: our own mistake
	}
	return eq
}()
