package autoscaling

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const resourceName = "horizontalpodautoscalers"

// defaultUtilization of CPU, in per cent, is what an autoscaler aims at that names no metric.
const defaultUtilization int32 = 80

// Autoscalers is the kind HorizontalPodAutoscaler, in the version in which it is stored.
func Autoscalers() *api.Kind {
	return &api.Kind{
		Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler", Resource: resourceName, Singular: "horizontalpodautoscaler",
		ShortNames: []string{"hpa"}, Categories: []string{"all"}, Namespaced: true,
		New:     func() api.Object { return &autoscalingv2.HorizontalPodAutoscaler{} },
		NewList: func() runtime.Object { return &autoscalingv2.HorizontalPodAutoscalerList{} },

		Default: api.On(defaultAutoscaler),
		PrepareCreate: api.On(func(h *autoscalingv2.HorizontalPodAutoscaler) {
			h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
			h.Generation = 1
		}),
		PrepareUpdate: api.OnChange(func(h, old *autoscalingv2.HorizontalPodAutoscaler) {
			h.Status = old.Status
			h.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&h.Spec, &old.Spec) {
				h.Generation++
			}
		}),
		Validate:       api.Check(func(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList { return checkAutoscaler(h, nil) }),
		ValidateUpdate: api.CheckChange(checkAutoscaler),
		Unconditional:  true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"},
			PrepareUpdate:  api.OnChange(func(h, old *autoscalingv2.HorizontalPodAutoscaler) { h.Spec = old.Spec }),
			ValidateUpdate: api.CheckChange(checkAutoscalerStatus),
		}},
		Columns: columns(),
		Row:     api.Cells(row),
	}
}

func defaultAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	h.Annotations = withoutKept(h.Annotations)
	s := &h.Spec
	setDefault(&s.MinReplicas, 1)
	if len(s.Metrics) == 0 {
		s.Metrics = []autoscalingv2.MetricSpec{cpuUtilization(defaultUtilization)}
	}
	if s.Behavior != nil {
		fillBehavior(s.Behavior)
	}
}

func fillBehavior(b *autoscalingv2.HorizontalPodAutoscalerBehavior) {
	b.ScaleUp = filled(b.ScaleUp, &autoscalingv2.HPAScalingRules{
		StabilizationWindowSeconds: new(int32), SelectPolicy: new(autoscalingv2.MaxChangePolicySelect),
		Policies: []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
		},
	})
	b.ScaleDown = filled(b.ScaleDown, &autoscalingv2.HPAScalingRules{
		SelectPolicy: new(autoscalingv2.MaxChangePolicySelect),
		Policies:     []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}},
	})
}

func setDefault[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

func cpuUtilization(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{
			Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent,
		}},
	}
}

// filled is rules with what they do not say taken from other, which it may change.
func filled(rules, other *autoscalingv2.HPAScalingRules) *autoscalingv2.HPAScalingRules {
	if rules == nil {
		return other
	}
	if rules.SelectPolicy != nil {
		other.SelectPolicy = rules.SelectPolicy
	}
	if rules.StabilizationWindowSeconds != nil {
		other.StabilizationWindowSeconds = rules.StabilizationWindowSeconds
	}
	if rules.Policies != nil {
		other.Policies = rules.Policies
	}
	if rules.Tolerance != nil {
		other.Tolerance = rules.Tolerance
	}
	return other
}

func columns() []metav1.TableColumnDefinition {
	spec := autoscalingv2.HorizontalPodAutoscalerSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Reference", "string", spec["scaleTargetRef"]),
		api.Column("Targets", "string", spec["metrics"]),
		api.Column("MinPods", "string", spec["minReplicas"]),
		api.Column("MaxPods", "string", spec["maxReplicas"]),
		api.Column("Replicas", "string", autoscalingv2.HorizontalPodAutoscalerStatus{}.SwaggerDoc()["currentReplicas"]),
		api.AgeColumn(),
	}
}

func row(h *autoscalingv2.HorizontalPodAutoscaler) []any {
	least := "<unset>"
	if n := h.Spec.MinReplicas; n != nil {
		least = fmt.Sprint(*n)
	}
	return []any{
		h.Name, h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name, metricsCell(h.Spec.Metrics, h.Status.CurrentMetrics),
		least, int64(h.Spec.MaxReplicas), int64(h.Status.CurrentReplicas), h.CreationTimestamp,
	}
}

// metricsCell shows two metrics at most, each as what is over what should be.
func metricsCell(specs []autoscalingv2.MetricSpec, statuses []autoscalingv2.MetricStatus) string {
	const most = 2
	if len(specs) == 0 {
		return "<none>"
	}
	var list []string
	for i := range specs[:min(len(specs), most)] {
		var status autoscalingv2.MetricStatus
		if i < len(statuses) {
			status = statuses[i]
		}
		list = append(list, metricCell(&specs[i], &status))
	}
	out := strings.Join(list, ", ")
	if len(specs) > most {
		return fmt.Sprintf("%s + %d more...", out, len(specs)-most)
	}
	return out
}

func metricCell(m *autoscalingv2.MetricSpec, s *autoscalingv2.MetricStatus) string {
	switch m.Type {
	case autoscalingv2.ExternalMetricSourceType:
		if m.External != nil {
			return amountCell(&m.External.Target, currentOf(s.External, func() *autoscalingv2.MetricValueStatus { return &s.External.Current }))
		}
	case autoscalingv2.ObjectMetricSourceType:
		if m.Object != nil {
			return amountCell(&m.Object.Target, currentOf(s.Object, func() *autoscalingv2.MetricValueStatus { return &s.Object.Current }))
		}
	case autoscalingv2.PodsMetricSourceType:
		if m.Pods != nil {
			now := currentOf(s.Pods, func() *autoscalingv2.MetricValueStatus { return &s.Pods.Current })
			return known(now != nil, func() string { return text(now.AverageValue) }) + "/" + text(m.Pods.Target.AverageValue)
		}
	case autoscalingv2.ResourceMetricSourceType:
		if m.Resource != nil {
			now := currentOf(s.Resource, func() *autoscalingv2.MetricValueStatus { return &s.Resource.Current })
			return string(m.Resource.Name) + ": " + shareCell(&m.Resource.Target, now)
		}
	case autoscalingv2.ContainerResourceMetricSourceType:
		if m.ContainerResource != nil {
			now := currentOf(s.ContainerResource, func() *autoscalingv2.MetricValueStatus { return &s.ContainerResource.Current })
			return string(m.ContainerResource.Name) + ": " + shareCell(&m.ContainerResource.Target, now)
		}
	}
	return "<unknown type>"
}

// currentOf is the current value of a status, nil where there is none.
func currentOf[T any](status *T, current func() *autoscalingv2.MetricValueStatus) *autoscalingv2.MetricValueStatus {
	if status == nil {
		return nil
	}
	return current()
}

// known is the value if there is one.
func known(is bool, value func() string) string {
	if !is {
		return "<unknown>"
	}
	return value()
}

// text is how messages and tables show a quantity.
func text(q *resource.Quantity) string {
	if q == nil {
		return "<nil>"
	}
	return q.String()
}

// amountCell is for metrics whose target is a value, or one for each pod.
func amountCell(t *autoscalingv2.MetricTarget, now *autoscalingv2.MetricValueStatus) string {
	if t.AverageValue != nil {
		return known(now != nil && now.AverageValue != nil, func() string { return text(now.AverageValue) }) + "/" + text(t.AverageValue) + " (avg)"
	}
	return known(now != nil, func() string { return text(now.Value) }) + "/" + text(t.Value)
}

// shareCell is for metrics whose target is a value or a share of what the pods ask for.
func shareCell(t *autoscalingv2.MetricTarget, now *autoscalingv2.MetricValueStatus) string {
	if t.AverageValue != nil {
		return known(now != nil, func() string { return text(now.AverageValue) }) + "/" + text(t.AverageValue)
	}
	target := "<auto>"
	if n := t.AverageUtilization; n != nil {
		target = fmt.Sprintf("%d%%", *n)
	}
	return known(now != nil && now.AverageUtilization != nil, func() string { return fmt.Sprintf("%d%%", *now.AverageUtilization) }) + "/" + target
}
