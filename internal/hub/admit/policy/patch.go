package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/admit/match"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"google.golang.org/protobuf/types/known/structpb"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/managedfields"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/mutation"
	"k8s.io/apiserver/pkg/cel/mutation/dynamic"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// patch evaluates one mutation and changes the object as it says.
func (p *Mutating) patch(ctx context.Context, r *match.Request, v *match.Version, m *patcher, param runtime.Object, ns *corev1.Namespace) error {
	if errs := m.evaluator.CompilationErrors(); len(errs) > 0 {
		return errors.Join(errs...)
	}
	attrs := r.CEL(v)
	request := plugincel.CreateAdmissionRequest(attrs.Attributes, metav1.GroupVersionResource(v.Resource), metav1.GroupVersionKind(v.Kind))
	bind := plugincel.OptionalVariableBindings{VersionedParams: param, Authorizer: p.authz}
	res, _, err := m.evaluator.ForInput(ctx, attrs, request, bind, ns, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return err
	}
	if res.Error != nil {
		return res.Error
	}
	var obj runtime.Object
	if m.json {
		obj, err = patched(v, res.EvalResult)
	} else {
		obj, err = applied(p.cfg.Types(r.As(), r.Subresource), v, res.EvalResult)
	}
	if err != nil || obj == nil {
		return err
	}
	_, err = r.Replace(ctx, v, obj)
	return err
}

var strict = kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, api.Scheme, api.Scheme, kjson.SerializerOptions{Strict: true})

// patched is the object after a JSON patch; nil when a test in the patch says that it is not to be applied.
func patched(v *match.Version, result ref.Val) (runtime.Object, error) {
	patch, err := operations(result)
	if err != nil {
		return nil, err
	}
	before, _, err := v.JSON()
	if err != nil {
		return nil, fmt.Errorf("failed to create JSON patch: %w", err)
	}
	after, err := patch.Apply(before)
	if errors.Is(err, jsonpatch.ErrTestFailed) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("JSON Patch: %w", err)
	}
	obj, _, err := strict.Decode(after, nil, v.Fresh())
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return obj, nil
}

// operations reads a list of patch operations out of the result of an expression, whose type the compiler has checked.
func operations(result ref.Val) (jsonpatch.Patch, error) {
	list, ok := result.(traits.Lister)
	if !ok {
		return nil, errors.New("type mismatch: JSONPatchType.expression should evaluate to array")
	}
	patch := jsonpatch.Patch{}
	for it := list.Iterator(); it.HasNext() == types.True; {
		native, err := it.Next().ConvertToNative(reflect.TypeFor[*mutation.JSONPatchVal]())
		if err != nil {
			return nil, fmt.Errorf("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch: %w", err)
		}
		op, ok := native.(*mutation.JSONPatchVal)
		if !ok {
			return nil, fmt.Errorf("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got element of %T", native)
		}
		out := jsonpatch.Operation{"op": raw(strconv.Quote(op.Op)), "path": raw(strconv.Quote(op.Path))}
		if op.From != "" {
			out["from"] = raw(strconv.Quote(op.From))
		}
		if op.Val != nil {
			data, err := valueOf(op.Val)
			if err != nil {
				return nil, err
			}
			out["value"] = raw(string(data))
		}
		patch = append(patch, out)
	}
	return patch, nil
}

func raw(text string) *json.RawMessage { return new(json.RawMessage(text)) }

// valueOf is the JSON of a value in a patch.
func valueOf(v ref.Val) ([]byte, error) {
	if obj, ok := v.(*dynamic.ObjectVal); ok {
		if err := obj.CheckTypeNamesMatchFieldPathNames(); err != nil {
			return nil, fmt.Errorf("type mismatch: %w", err)
		}
	}
	const message = "JSONPath valueExpression evaluated to a type that could not marshal to JSON: %w"
	native, err := v.ConvertToNative(reflect.TypeFor[*structpb.Value]())
	if err != nil {
		return nil, fmt.Errorf(message, err)
	}
	data, err := json.Marshal(native)
	if err != nil {
		return nil, fmt.Errorf(message, err)
	}
	return data, nil
}

// applied is the object with an apply configuration merged into it.
func applied(types managedfields.TypeConverter, v *match.Version, result ref.Val) (runtime.Object, error) {
	obj, ok := result.(*dynamic.ObjectVal)
	if !ok {
		return nil, fmt.Errorf("unsupported return type from ApplyConfiguration expression: %v", result.Type())
	}
	if err := obj.CheckTypeNamesMatchFieldPathNames(); err != nil {
		return nil, fmt.Errorf("type mismatch: %w", err)
	}
	fields, ok := obj.Value().(map[string]any)
	if !ok {
		return nil, fmt.Errorf("invalid return type: %T", result)
	}
	config := &unstructured.Unstructured{Object: fields}
	config.SetGroupVersionKind(v.Object.GetObjectKind().GroupVersionKind())
	out, err := merged(types, v.Object, config)
	if err != nil {
		return nil, fmt.Errorf("error applying patch: %w", err)
	}
	if _, untyped := v.Object.(*unstructured.Unstructured); untyped {
		return out, nil
	}
	into := v.Fresh()
	u, ok := out.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("the merged object is %T", out)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		return nil, err
	}
	return into, nil
}

// merged is obj with config in it. Nobody becomes the manager of what changes.
func merged(types managedfields.TypeConverter, obj runtime.Object, config *unstructured.Unstructured) (runtime.Object, error) {
	change, err := types.ObjectToTyped(config)
	if err != nil {
		return nil, fmt.Errorf("failed to convert patch object to typed object: %w", err)
	}
	if whole := atomics(nil, change.Schema(), change.TypeRef(), change.AsValue()); len(whole) > 0 {
		return nil, fmt.Errorf("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: %v", strings.Join(whole, ", "))
	}
	was, err := types.ObjectToTyped(obj, typed.AllowDuplicates)
	if err != nil {
		return nil, fmt.Errorf("failed to convert original object to typed object: %w", err)
	}
	is, err := was.Merge(change)
	if err != nil {
		return nil, fmt.Errorf("failed to merge patch: %w", err)
	}
	out, err := types.TypedToObject(is)
	if err != nil {
		return nil, fmt.Errorf("failed to convert typed object to object: %w", err)
	}
	return out, nil
}

// atomics are the paths of what can only be replaced as a whole: whoever meant to add to it would take the rest away.
func atomics(path fieldpath.Path, s *schema.Schema, tr schema.TypeRef, v value.Value) (out []string) {
	a, ok := s.Resolve(tr)
	if !ok {
		return nil
	}
	if v.IsMap() && a.Map != nil {
		if a.Map.ElementRelationship == schema.Atomic {
			out = append(out, path.String())
		}
		v.AsMap().Iterate(func(name string, val value.Value) bool {
			if f, ok := a.Map.FindField(name); ok {
				out = append(out, atomics(append(path, fieldpath.PathElement{FieldName: &name}), s, f.Type, val)...)
			}
			return true
		})
	}
	if v.IsList() && a.List != nil {
		if a.List.ElementRelationship == schema.Atomic {
			out = append(out, path.String())
		}
		list := v.AsList()
		for i := range list.Length() {
			out = append(out, atomics(append(path, fieldpath.PathElement{Index: &i}), s, a.List.ElementType, list.At(i))...)
		}
	}
	return out
}
