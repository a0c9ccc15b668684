package apitest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group of the kinds.
const Group = "test.sampan.dev"

// Stuck is a label of gauges that cannot be converted between their versions.
const Stuck = "stuck"

// Gauges is the kind Gauge in its stored version, v1, which has spec.level, a number, and in v2, which has spec.reading, a text
// such as "7 bar".
func Gauges() []*api.Kind {
	v1, v2 := gauge("v1"), gauge("v2")
	v1.Fields = func(obj api.Object) fields.Set {
		level, _, _ := unstructured.NestedInt64(obj.(*unstructured.Unstructured).Object, "spec", "level")
		return fields.Set{"spec.level": strconv.FormatInt(level, 10)}
	}
	v1.FieldLabels = []string{"spec.level"}
	v2.View = &api.View{Stored: v1.GVR(), To: toV2, From: toV1}
	return []*api.Kind{v1, v2}
}

func gauge(version string) *api.Kind {
	k := &api.Kind{
		Group: Group, Version: version, Kind: "Gauge", Resource: "gauges", Singular: "gauge", Namespaced: true,
		Codec: api.Unstructured{}, Prefix: Group + "/gauges", Unconditional: true,
		PrepareCreate: func(obj api.Object) {
			unstructured.RemoveNestedField(obj.(*unstructured.Unstructured).Object, "status")
			obj.SetGeneration(1)
		},
		PrepareUpdate: func(obj, old api.Object) { copyField(obj, old, "status") },
		Columns:       []metav1.TableColumnDefinition{api.NameColumn(), api.Column("Level", "string", "What it shows.")},
		Row: func(obj api.Object) []any {
			spec, _, _ := unstructured.NestedMap(obj.(*unstructured.Unstructured).Object, "spec")
			if reading, ok := spec["reading"]; ok {
				return []any{obj.GetName(), reading}
			}
			return []any{obj.GetName(), fmt.Sprint(spec["level"])}
		},
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"},
			PrepareUpdate: func(obj, old api.Object) { copyField(obj, old, "spec") },
		}},
	}
	k.New, k.NewList = api.Untyped(schema.GroupVersion{Group: Group, Version: version}.String(), "Gauge", "")
	return k
}

// copyField makes a top-level field of obj that of old, which is frozen.
func copyField(obj, old api.Object, field string) {
	to, from := obj.(*unstructured.Unstructured).Object, old.(*unstructured.Unstructured).Object
	delete(to, field)
	if v, ok := from[field]; ok {
		to[field] = v
	}
}

var errStuck = errors.New("the gauge is stuck")

func toV2(_ context.Context, stored api.Object) (api.Object, error) {
	return convert(stored, "level", "reading", func(v any) (any, error) { return fmt.Sprint(v, " bar"), nil })
}

func toV1(_ context.Context, obj api.Object) (api.Object, error) {
	return convert(obj, "reading", "level", func(v any) (any, error) {
		return strconv.ParseInt(strings.TrimSuffix(fmt.Sprint(v), " bar"), 10, 64)
	})
}

// convert renames a field of spec and changes its value.
func convert(obj api.Object, from, to string, value func(any) (any, error)) (api.Object, error) {
	if _, stuck := obj.GetLabels()[Stuck]; stuck {
		return nil, errStuck
	}
	u := obj.(*unstructured.Unstructured).DeepCopy()
	spec, _ := u.Object["spec"].(map[string]any)
	v, ok := spec[from]
	if !ok {
		return u, nil
	}
	delete(spec, from)
	var err error
	spec[to], err = value(v)
	return u, err
}
