package custom

import (
	"errors"
	"fmt"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// sameIdentity refuses an object that is not the one that was to be converted.
func sameIdentity(in, out *unstructured.Unstructured) error {
	for _, f := range []struct{ what, want, got string }{
		{"name", in.GetName(), out.GetName()}, {"namespace", in.GetNamespace(), out.GetNamespace()}, {"UID", string(in.GetUID()), string(out.GetUID())},
	} {
		if f.want != f.got {
			return fmt.Errorf("must have the same %s: %v != %v", f.what, f.want, f.got)
		}
	}
	return nil
}

// restoreMeta gives a converted object the metadata of the original but for labels and annotations, which a webhook may change.
func restoreMeta(original, converted *unstructured.Unstructured) error {
	raw, found := converted.Object["metadata"]
	if !found {
		return errors.New("missing metadata in converted object")
	}
	theirs, ok := raw.(map[string]any)
	if !ok {
		return fmt.Errorf("invalid metadata of type %T in converted object", raw)
	}
	ours := map[string]any{}
	if raw, found := original.Object["metadata"]; found {
		if ours, ok = runtime.DeepCopyJSONValue(raw).(map[string]any); !ok {
			return fmt.Errorf("invalid metadata of type %T in input object", raw)
		}
	}
	for _, name := range []string{"labels", "annotations"} {
		if err := takeOver(name, ours, theirs); err != nil {
			return err
		}
	}
	converted.Object["metadata"] = ours
	return nil
}

// takeOver makes the labels or annotations of ours those of theirs, and checks them if they are others.
func takeOver(name string, ours, theirs map[string]any) error {
	raw := theirs[name]
	if raw == nil {
		delete(ours, name)
		return nil
	}
	is, ok := raw.(map[string]any)
	if !ok {
		return fmt.Errorf("invalid metadata.%s of type %T in converted object", name, raw)
	}
	was, ok := ours[name].(map[string]any)
	if !ok && ours[name] != nil {
		return fmt.Errorf("invalid metadata.%s of type %T in original object", name, ours[name])
	}
	texts, changed := make(map[string]string, len(is)), len(was) != len(is)
	for k, v := range is {
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("metadata.%s[%s] must be a string, but is %T in converted object", name, k, v)
		}
		texts[k] = text
		changed = changed || was[k] != v
	}
	ours[name] = is
	if !changed {
		return nil
	}
	if name == "labels" {
		return validation.ValidateLabels(texts, field.NewPath("metadata", "labels")).ToAggregate()
	}
	return apivalidation.ValidateAnnotations(texts, field.NewPath("metadata", "annotation")).ToAggregate()
}
