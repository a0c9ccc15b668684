package apply

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/price"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// apply merges an apply configuration (YAML or JSON) into old by field ownership.
func (e *Engine) apply(t target, old api.Object, data []byte, o Options) (api.Object, error) {
	m, err := e.manager(t)
	if err != nil {
		return nil, err
	}
	if old == nil {
		if old, err = t.empty(); err != nil {
			return nil, err
		}
	}
	live, err := named(old)
	if err != nil {
		return nil, err
	}
	patch := &unstructured.Unstructured{Object: map[string]any{}}
	if err := yaml.Unmarshal(data, &patch.Object); err != nil {
		if rest, ok := strings.CutPrefix(err.Error(), "error converting YAML to JSON: "); ok {
			return nil, apierrors.NewBadRequest("error encoding patch: " + rest)
		}
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	if into, err := t.empty(); err != nil {
		return nil, err
	} else if err := price.Value(patch.Object, into); err != nil {
		return nil, priced(err, fmt.Sprintf("%+v", patch.Object))
	} else if err := fits(patch.Object, into); err != nil {
		return nil, invalid(fmt.Sprintf("%+v", patch.Object), err)
	}
	merged, err := m.Apply(live, patch, o.Manager, o.Force)
	if err != nil {
		return nil, err
	}
	out, ok := merged.(api.Object)
	if !ok {
		return nil, fmt.Errorf("apply to %s: result %T has no metadata", t.gvk(), merged)
	}
	if o.strict() {
		// Unknown fields have been refused above, whatever the level: a field without a type has no owner. What is left
		// to find are duplicate keys.
		if err := yaml.UnmarshalStrict(data, &map[string]any{}); err != nil {
			if o.Validation == metav1.FieldValidationStrict {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("error strict decoding patch: %v", err))
			}
			o.warn(err)
		}
	}
	return out, nil
}

// Warnings splits what the YAML decoder finds at once into one warning each; any other error is one warning.
func Warnings(err error) []string {
	text := err.Error()
	rest, ok := strings.CutPrefix(text, "yaml: unmarshal errors:\n")
	if !ok {
		rest, ok = strings.CutPrefix(text, "error converting YAML to JSON: yaml: unmarshal errors:\n")
	}
	if !ok {
		return []string{text}
	}
	lines := strings.Split(rest, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}
