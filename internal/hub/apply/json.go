package apply

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/price"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// maxOperations is how many operations a JSON patch may have, as upstream allows.
const maxOperations = 10000

var (
	lax    = json.NewSerializerWithOptions(json.DefaultMetaFactory, api.Scheme, api.Scheme, json.SerializerOptions{})
	strict = json.NewSerializerWithOptions(json.DefaultMetaFactory, api.Scheme, api.Scheme, json.SerializerOptions{Strict: true})
)

// jsonPatch applies a JSON patch or JSON merge patch to the JSON of old.
func jsonPatch(t target, old api.Object, pt types.PatchType, data []byte, o Options) (api.Object, error) {
	doc, err := api.EncodeJSON(old)
	if err != nil {
		return nil, err
	}
	var errs []error
	if pt == types.JSONPatchType {
		doc, errs, err = operations(doc, data, o)
	} else {
		doc, errs, err = merge(doc, data, o)
	}
	if err != nil {
		return nil, err
	}
	into, err := t.empty()
	if err != nil {
		return nil, err
	}
	dec := lax
	if o.strict() {
		dec = strict
	}
	if err := price.JSON(doc, into); err != nil {
		return nil, priced(err, string(doc))
	}
	out, _, err := dec.Decode(doc, nil, into)
	if _, strict := runtime.AsStrictDecodingError(err); t.coerces() && (err == nil || strict) {
		unknown, cerr := t.kind.Coerce(into, o.strict())
		if cerr != nil {
			return nil, invalid(string(doc), cerr)
		}
		err = unknownFields(err, unknown)
	}
	if err := o.decoded(err, errs, string(doc)); err != nil {
		return nil, err
	}
	if err := t.sameKind(out, into, doc); err != nil {
		return nil, err
	}
	return into, nil
}

// sameKind refuses what is of another kind after a patch, in upstream's words: its decoders of Go types cannot convert it, objects without
// one are checked with all else of them. Its status has no kind of its own to change.
func (t target) sameKind(out runtime.Object, into api.Object, doc []byte) error {
	is, want := out.GetObjectKind().GroupVersionKind(), t.gvk()
	switch {
	case out != runtime.Object(into):
		return invalid(string(doc), fmt.Errorf("converting (%s) to (%s.%s): unknown conversion", strings.TrimPrefix(fmt.Sprintf("%T", out), "*"), internalName(want.Group), want.Kind))
	case !t.untyped() || is == want:
		return nil
	case t.sub == "status":
		into.GetObjectKind().SetGroupVersionKind(want)
		return nil
	}
	var errs field.ErrorList
	if is.Kind != want.Kind {
		errs = append(errs, field.Invalid(field.NewPath("kind"), is.Kind, "must be "+want.Kind))
	}
	if is.GroupVersion() != want.GroupVersion() {
		errs = append(errs, field.Invalid(field.NewPath("apiVersion"), is.GroupVersion().String(), "must be "+want.GroupVersion().String()))
	}
	return apierrors.NewInvalid(is.GroupKind(), into.GetName(), errs)
}

// internalName is what upstream calls its package of a group's internal types (pkg/apis).
func internalName(group string) string {
	name, _, _ := strings.Cut(group, ".")
	switch {
	case group == "", group == eventsv1.GroupName:
		return "core"
	case name == "internal":
		return "apiserverinternal"
	}
	return name
}

// coerces reports whether what the target's objects are decoded to is still to be made an object of the kind.
func (t target) coerces() bool { return t.kind.Coerce != nil && t.untyped() }

// unknownFields adds unknown fields to the strict error of a decoder, which may be nil.
func unknownFields(err error, unknown []string) error {
	if len(unknown) == 0 {
		return err
	}
	var errs []error
	if s, ok := runtime.AsStrictDecodingError(err); ok {
		errs = s.Errors()
	}
	for _, path := range unknown {
		errs = append(errs, fmt.Errorf("unknown field %q", path))
	}
	return runtime.NewStrictDecodingError(errs)
}

// operation is read only for its unknown and duplicate fields.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	From  string `json:"from"`
	Value any    `json:"value"`
}

func operations(doc, data []byte, o Options) ([]byte, []error, error) {
	limitCopies()
	var errs []error
	if o.strict() {
		var ops []operation
		var err error
		if errs, err = kjson.UnmarshalStrict(data, &ops); err != nil {
			text := strings.Replace(err.Error(), "apply.operation", "handlers.jsonPatchOp", 1) // upstream's name of the type
			return nil, nil, apierrors.NewBadRequest("error decoding patch: " + text)
		}
		for i, e := range errs {
			errs[i] = fmt.Errorf("json patch %w", e)
		}
	}
	patch, err := jsonpatch.DecodePatch(data)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if len(patch) > maxOperations {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(
			fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", maxOperations, len(patch)))
	}
	if err := moves(patch, doc); err != nil {
		return nil, nil, err
	}
	out, err := patch.Apply(doc)
	if err != nil {
		return nil, nil, unprocessable(err)
	}
	return out, errs, nil
}

func merge(doc, data []byte, o Options) ([]byte, []error, error) {
	var errs []error
	if o.strict() {
		var err error
		if errs, err = kjson.UnmarshalStrict(data, &map[string]any{}); err != nil {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
	}
	out, err := jsonpatch.MergePatch(doc, data)
	if errors.Is(err, jsonpatch.ErrBadJSONPatch) {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	return out, errs, err
}

func unprocessable(err error) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
}
