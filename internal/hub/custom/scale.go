package custom

import (
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apiextensions"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// scale is the scale subresource of a version.
func scale(d *apiextensions.Definition, s *apiextensionsv1.CustomResourceSubresourceScale) api.Subresource {
	spec, status := fieldPath(s.SpecReplicasPath), fieldPath(s.StatusReplicasPath)
	var selector []string
	if s.LabelSelectorPath != nil && *s.LabelSelectorPath != "" {
		selector = fieldPath(*s.LabelSelectorPath)
	}
	out := &api.Scale{
		Field: s.SpecReplicasPath,
		Has: func(obj api.Object) (bool, error) {
			_, has, err := unstructured.NestedInt64(content(obj), spec...)
			if err == nil {
				_, _, err = unstructured.NestedInt64(content(obj), status...)
			}
			if err == nil && selector != nil {
				_, _, err = unstructured.NestedString(content(obj), selector...)
			}
			return has, err
		},
		Get: func(obj api.Object) (int32, int32, string) {
			want, _, _ := unstructured.NestedInt64(content(obj), spec...)
			have, _, _ := unstructured.NestedInt64(content(obj), status...)
			text := ""
			if selector != nil {
				text, _, _ = unstructured.NestedString(content(obj), selector...)
			}
			return int32(want), int32(have), text
		},
		Set: func(obj api.Object, replicas int32) {
			_ = unstructured.SetNestedField(content(obj), int64(replicas), spec...) // where it cannot be set, validation has something to say
		},
		Paths:   map[string][]string{},
		Columns: scaleColumns,
	}
	for _, v := range d.Spec.Versions {
		out.Paths[d.Spec.Group+"/"+v.Name] = nil
		if v.Subresources != nil && v.Subresources.Scale != nil {
			out.Paths[d.Spec.Group+"/"+v.Name] = fieldPath(v.Subresources.Scale.SpecReplicasPath)
		}
	}
	return api.Subresource{
		Name: "scale", Verbs: []string{"get", "patch", "update"},
		GVK:   autoscalingv1.SchemeGroupVersion.WithKind("Scale"),
		New:   func() runtime.Object { return &autoscalingv1.Scale{} },
		Scale: out,
	}
}

var scaleColumns = []metav1.TableColumnDefinition{
	api.NameColumn(),
	{Name: "Desired", Type: "integer", Description: "Number of desired replicas"},
	{Name: "Available", Type: "integer", Description: "Number of actual replicas"},
	{Name: "Age", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]},
}

// fieldPath splits a simple JSON path (".spec.replicas").
func fieldPath(jsonPath string) []string {
	return strings.Split(strings.TrimPrefix(jsonPath, "."), ".")
}
