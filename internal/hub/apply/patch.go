package apply

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"sampan.dev/internal/api"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Options of one patch.
type Options struct {
	Name       string       // of the object, for error messages when there is none
	Manager    string       // for apply the fieldManager option as given; otherwise see [Manager]
	Force      bool         // apply takes fields from other managers
	Validation string       // the fieldValidation option: Ignore, Warn (also ""), Strict
	Warn       func(string) // is told of unknown and duplicate fields under Warn; may be nil
}

// Patch returns the object that the patch makes of old: decoded, defaulted, with its managed fields brought up to date. old is
// frozen; the result is new. sub names the subresource patched ("" for the main resource).
//
// old is nil when there is no such object: apply then makes one, every other type answers NotFound. Whether the result still has
// the name, namespace and uid that were asked for is for the caller to check, and so are the PatchOptions (apply needs a manager).
//
// Errors are apierrors values: BadRequest for a patch that cannot be read, Invalid or 422 for one that cannot be applied,
// Conflict with a cause per field for apply.
func (e *Engine) Patch(k *api.Kind, sub string, old api.Object, pt types.PatchType, data []byte, o Options) (api.Object, error) {
	t := target{k, sub}
	if pt == types.StrategicMergePatchType && t.untyped() {
		return nil, noStrategic
	}
	if err := affordable(t, pt, data); err != nil {
		return nil, err
	}
	if pt == types.ApplyYAMLPatchType {
		return e.apply(t, old, data, o)
	}
	if old == nil {
		return nil, apierrors.NewNotFound(k.GR(), o.Name)
	}
	if !json.Valid(data) {
		return nil, apierrors.NewBadRequest("invalid JSON patch")
	}
	base, err := named(old)
	if err != nil {
		return nil, err
	}
	var out api.Object
	switch pt {
	case types.JSONPatchType, types.MergePatchType:
		out, err = jsonPatch(t, base.(api.Object), pt, data, o)
	case types.StrategicMergePatchType:
		out, err = strategic(t, base.(api.Object), data, o)
	default:
		return nil, fmt.Errorf("%v: unimplemented patch type", pt)
	}
	if err != nil {
		return nil, err
	}
	t.fill(out)
	if err := e.track(t, out, old, o.Manager); err != nil {
		untrack(out, old)
	}
	return out, nil
}

// noStrategic refuses a patch that merges lists by what the Go types say of them, where there is no Go type.
var noStrategic = &apierrors.StatusError{ErrStatus: metav1.Status{
	Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
	Message: "the body of the request was in an unknown format - accepted media types include: " +
		strings.Join([]string{string(types.JSONPatchType), string(types.MergePatchType), string(types.ApplyYAMLPatchType)}, ", "),
}}

// strict reports whether unknown and duplicate fields are looked for at all.
func (o Options) strict() bool { return o.Validation != metav1.FieldValidationIgnore }

// unknown deals with the strict errors of a patch: a warning for each, or one refusal that shows the patched document.
func (o Options) unknown(errs []error, doc string) error {
	if len(errs) == 0 {
		return nil
	}
	if o.Validation == metav1.FieldValidationStrict {
		return invalid(doc, runtime.NewStrictDecodingError(errs))
	}
	o.warn(errs...)
	return nil
}

func (o Options) warn(errs ...error) {
	if o.Warn == nil {
		return
	}
	for _, e := range errs {
		for _, w := range Warnings(e) {
			o.Warn(w)
		}
	}
}

// decoded joins the strict errors of reading the patch (errs) with the error of decoding what came of it (err).
func (o Options) decoded(err error, errs []error, doc string) error {
	if err != nil {
		s, ok := runtime.AsStrictDecodingError(err)
		if !ok {
			return invalid(doc, err)
		}
		errs = append(errs, s.Errors()...)
	}
	return o.unknown(errs, doc)
}

func invalid(doc string, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), doc, err.Error())})
}
