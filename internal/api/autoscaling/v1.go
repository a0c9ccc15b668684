package autoscaling

import (
	"sampan.dev/internal/api"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// AutoscalersV1 is the kind HorizontalPodAutoscaler in its first version, which knows a share of the CPU and nothing else. What else
// an autoscaler has stands in annotations there. It is stored as v2, by whose rules it is checked.
func AutoscalersV1() *api.Kind {
	check := func(h, old *autoscalingv1.HorizontalPodAutoscaler) field.ErrorList {
		if old == nil {
			return checkAutoscaler(toV2(h), nil)
		}
		return checkAutoscaler(toV2(h), toV2(old))
	}
	return &api.Kind{
		Group: "autoscaling", Version: "v1", Kind: "HorizontalPodAutoscaler", Resource: resourceName, Singular: "horizontalpodautoscaler",
		ShortNames: []string{"hpa"}, Categories: []string{"all"}, Namespaced: true,
		New:     func() api.Object { return &autoscalingv1.HorizontalPodAutoscaler{} },
		NewList: func() runtime.Object { return &autoscalingv1.HorizontalPodAutoscalerList{} },

		View: api.ViewOf(autoscalingv2.SchemeGroupVersion.WithResource(resourceName),
			func(stored api.Object) api.Object {
				return toV1(stored.(*autoscalingv2.HorizontalPodAutoscaler))
			},
			func(obj api.Object) api.Object { return toV2(obj.(*autoscalingv1.HorizontalPodAutoscaler)) },
		),
		Default: api.On(func(h *autoscalingv1.HorizontalPodAutoscaler) {
			setDefault(&h.Spec.MinReplicas, 1)
			*h = *toV1(toV2(h)) // the annotations that stand for fields are the server's own writing
		}),
		Validate: api.Check(func(h *autoscalingv1.HorizontalPodAutoscaler) field.ErrorList {
			return check(h, nil)
		}),
		ValidateUpdate: api.CheckChange(check),
		Unconditional:  true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"},
			ValidateUpdate: api.CheckChange(func(h, old *autoscalingv1.HorizontalPodAutoscaler) field.ErrorList {
				return checkAutoscalerStatus(toV2(h), toV2(old))
			}),
		}},
		Columns: columns(),
		Row:     api.Cells(func(h *autoscalingv1.HorizontalPodAutoscaler) []any { return row(toV2(h)) }),
	}
}
