package apply

import (
	"errors"
	"fmt"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/price"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"
)

// strategic applies a strategic merge patch; lists merge by the patch keys in the tags of the Go types.
func strategic(t target, old api.Object, data []byte, o Options) (api.Object, error) {
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(old)
	if err != nil {
		return nil, err
	}
	patch := map[string]any{}
	var errs []error
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
	if err := o.decoded(err, errs, fmt.Sprintf("%+v", patch)); err != nil {
		return nil, err
	}
	return into, nil
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
