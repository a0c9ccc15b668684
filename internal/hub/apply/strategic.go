package apply

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/price"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"
)

// strategic applies a strategic merge patch; lists merge by the patch keys in the tags of the Go types. What the patch does not touch is
// copied: to make maps of a pod's spec and a spec of the maps again would be most of the cost of writing its status.
func strategic(t target, old api.Object, data []byte, o Options) (api.Object, error) {
	patch := map[string]any{}
	var errs []error
	var err error
	if o.strict() {
		errs, err = kjson.UnmarshalStrict(data, &patch)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(data, &patch)
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	into, err := t.empty()
	if err != nil {
		return nil, err
	}
	touched, rest, owned := divide(t, old, patch)
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(touched)
	if err != nil {
		return nil, err
	}
	if err := compares(doc, patch, into); err != nil {
		return nil, err
	}
	if err := fits(patch, into); err != nil {
		return nil, invalid(fmt.Sprintf("%+v", patch), err)
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(doc, patch, into)
	if err != nil {
		return nil, strategicError(err)
	}
	if err := price.Value(merged, into); err != nil {
		return nil, priced(err, fmt.Sprintf("%+v", patch))
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(merged, into, o.strict())
	if err != nil || len(errs) > 0 {
		if err := o.decoded(err, errs, fmt.Sprintf("%+v", patch)); err != nil {
			return nil, err
		}
	}
	if rest != nil {
		join(into, rest.DeepCopyObject())
	}
	if owned != nil {
		meta := metav1.ObjectMeta{ManagedFields: owned}
		into.SetManagedFields(meta.DeepCopy().ManagedFields)
	}
	return into, nil
}

// divide splits the fields of an object (metadata, spec, status, data and the like) into those that a patch has something about and the
// rest, each in a shallow copy. Of metadata that it touches the managed fields are apart, where it leaves them alone. There is no rest when the patch says of the whole object how it is to be merged.
func divide(t target, old api.Object, patch map[string]any) (touched, rest api.Object, owned []metav1.ManagedFieldsEntry) {
	codec := t.codec()
	touched, rest = codec.Shallow(old), codec.Shallow(old)
	a, b := reflect.ValueOf(touched).Elem(), reflect.ValueOf(rest).Elem()
	left := len(patch)
	for i := range a.NumField() {
		field := a.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if _, ok := patch[name]; ok && name != "" {
			b.Field(i).SetZero()
			left--
		} else if field.Type != typeMetaType {
			a.Field(i).SetZero()
		}
	}
	if left > 0 { // a directive, a kind, or a field that there is none of
		return old, nil, nil
	}
	if meta, ok := patch["metadata"].(map[string]any); ok && !ofManagedFields(meta) {
		// Who owns what is the largest part of most metadata, and JSON within JSON.
		owned = touched.GetManagedFields()
		touched.SetManagedFields(nil)
	}
	return touched, rest, owned
}

// ofManagedFields reports whether a patch of metadata has something to do with the managed fields: it names them, or says of all that
// there is how it is to be merged.
func ofManagedFields(meta map[string]any) bool {
	for key := range meta {
		name := key[strings.LastIndexByte(key, '/')+1:]
		if name == "managedFields" || name == key && strings.HasPrefix(key, "$") {
			return true
		}
	}
	return false
}

// join sets the fields of into that rest has.
func join(into api.Object, rest runtime.Object) {
	a, b := reflect.ValueOf(into).Elem(), reflect.ValueOf(rest).Elem()
	for i := range b.NumField() {
		if f := b.Field(i); f.Type() != typeMetaType && !f.IsZero() {
			a.Field(i).Set(f)
		}
	}
}

func strategicError(err error) error {
	is := func(list ...error) bool {
		return slices.ContainsFunc(list, func(e error) bool { return errors.Is(err, e) })
	}
	switch {
	case is(mergepatch.ErrBadJSONDoc, mergepatch.ErrBadPatchFormatForPrimitiveList, mergepatch.ErrBadPatchFormatForRetainKeys,
		mergepatch.ErrBadPatchFormatForSetElementOrderList, mergepatch.ErrUnsupportedStrategicMergePatchFormat):
		return apierrors.NewBadRequest(err.Error())
	case is(mergepatch.ErrNoListOfLists, mergepatch.ErrPatchContentNotMatchRetainKeys):
		return unprocessable(err)
	}
	return err
}
