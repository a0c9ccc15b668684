package autoscaling

import (
	"encoding/json"
	"maps"
	"slices"

	"sampan.dev/internal/api/valid"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations in which v1 has what it knows no fields for.
const (
	keptMetrics    = "autoscaling.alpha.kubernetes.io/metrics"
	keptStatuses   = "autoscaling.alpha.kubernetes.io/current-metrics"
	keptConditions = "autoscaling.alpha.kubernetes.io/conditions"
	keptBehavior   = "autoscaling.alpha.kubernetes.io/behavior"
)

var kept = []string{
	keptMetrics, keptStatuses, keptConditions, keptBehavior,
	"autoscaling.alpha.kubernetes.io/scale-down-tolerance", "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
}

// withoutKept is annotations without those that stand for fields; the same map if there are none.
func withoutKept(annotations map[string]string) map[string]string {
	if !slices.ContainsFunc(kept, func(k string) bool { _, ok := annotations[k]; return ok }) {
		return annotations
	}
	out := maps.Clone(annotations)
	for _, k := range kept {
		delete(out, k)
	}
	return out
}

// isShareOfCPU reports whether v1 has a field for the metric.
func isShareOfCPU(m *autoscalingv2.MetricSpec) bool {
	return m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil && m.Resource.Name == corev1.ResourceCPU && m.Resource.Target.AverageUtilization != nil
}

// toV1 returns the first version of a stored autoscaler, which is frozen.
func toV1(h *autoscalingv2.HorizontalPodAutoscaler) *autoscalingv1.HorizontalPodAutoscaler {
	h = h.DeepCopy()
	out := &autoscalingv1.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas, MaxReplicas: h.Spec.MaxReplicas,
		},
		Status: autoscalingv1.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration, LastScaleTime: h.Status.LastScaleTime,
			CurrentReplicas: h.Status.CurrentReplicas, DesiredReplicas: h.Status.DesiredReplicas,
		},
	}
	var others []autoscalingv1.MetricSpec
	for i := range h.Spec.Metrics {
		m := &h.Spec.Metrics[i]
		switch {
		case !isShareOfCPU(m):
			others = append(others, metricToV1(m))
		case out.Spec.TargetCPUUtilizationPercentage == nil:
			out.Spec.TargetCPUUtilizationPercentage = m.Resource.Target.AverageUtilization
		}
	}
	var statuses []autoscalingv1.MetricStatus
	for i := range h.Status.CurrentMetrics {
		m := &h.Status.CurrentMetrics[i]
		statuses = append(statuses, statusToV1(m))
		if m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil && m.Resource.Name == corev1.ResourceCPU && m.Resource.Current.AverageUtilization != nil {
			out.Status.CurrentCPUUtilizationPercentage = m.Resource.Current.AverageUtilization
		}
	}
	var conditions []autoscalingv1.HorizontalPodAutoscalerCondition
	for _, c := range h.Status.Conditions {
		conditions = append(conditions, autoscalingv1.HorizontalPodAutoscalerCondition{
			Type: autoscalingv1.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
		})
	}
	keep(out, keptMetrics, others, len(others) > 0)
	keep(out, keptStatuses, statuses, len(statuses) > 0)
	keep(out, keptConditions, conditions, len(conditions) > 0)
	keep(out, keptBehavior, valid.Internal(h.Spec.Behavior), h.Spec.Behavior != nil) // upstream keeps the form that it has inside
	return out
}

func keep(h *autoscalingv1.HorizontalPodAutoscaler, key string, value any, is bool) {
	if !is {
		return
	}
	text, err := json.Marshal(value)
	if err != nil {
		return // these types always encode
	}
	if h.Annotations == nil {
		h.Annotations = map[string]string{}
	}
	h.Annotations[key] = string(text)
}

// restore decodes what an annotation keeps; a text that cannot be read is as good as none.
func restore[T any](h *autoscalingv1.HorizontalPodAutoscaler, key string) (value T, ok bool) {
	text, ok := h.Annotations[key]
	if !ok || json.Unmarshal([]byte(text), &value) != nil {
		var none T
		return none, false
	}
	return value, true
}

// toV2 returns the stored form.
func toV2(h *autoscalingv1.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	h = h.DeepCopy()
	out := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas, MaxReplicas: h.Spec.MaxReplicas,
		},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration, LastScaleTime: h.Status.LastScaleTime,
			CurrentReplicas: h.Status.CurrentReplicas, DesiredReplicas: h.Status.DesiredReplicas,
		},
	}
	out.SetGroupVersionKind(autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"))
	others, _ := restore[[]autoscalingv1.MetricSpec](h, keptMetrics)
	for i := range others {
		out.Spec.Metrics = append(out.Spec.Metrics, metricToV2(&others[i]))
	}
	if n := h.Spec.TargetCPUUtilizationPercentage; n != nil {
		out.Spec.Metrics = append(out.Spec.Metrics, cpuUtilization(*n))
	}
	if len(out.Spec.Metrics) == 0 {
		out.Spec.Metrics = []autoscalingv2.MetricSpec{cpuUtilization(defaultUtilization)}
	}
	if b, ok := restore[autoscalingv2.HorizontalPodAutoscalerBehavior](h, keptBehavior); ok && b != (autoscalingv2.HorizontalPodAutoscalerBehavior{}) {
		up, down := b.ScaleUp, b.ScaleDown
		fillBehavior(&b)
		if up != nil { // rules that are there must say how far they go: upstream fills what it reads, after it has checked it
			b.ScaleUp.Policies = up.Policies
		}
		if down != nil {
			b.ScaleDown.Policies = down.Policies
		}
		out.Spec.Behavior = &b
	}
	statusToStored(h, &out.Status)
	out.Annotations = withoutKept(out.Annotations)
	return out
}

func statusToStored(h *autoscalingv1.HorizontalPodAutoscaler, out *autoscalingv2.HorizontalPodAutoscalerStatus) {
	if n := h.Status.CurrentCPUUtilizationPercentage; n != nil {
		out.CurrentMetrics = []autoscalingv2.MetricStatus{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{
				Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: n},
			},
		}}
	}
	if statuses, ok := restore[[]autoscalingv1.MetricStatus](h, keptStatuses); ok { // which say more
		out.CurrentMetrics = nil
		for i := range statuses {
			out.CurrentMetrics = append(out.CurrentMetrics, statusToV2(&statuses[i]))
		}
	}
	conditions, _ := restore[[]autoscalingv1.HorizontalPodAutoscalerCondition](h, keptConditions)
	for _, c := range conditions {
		out.Conditions = append(out.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
			Type: autoscalingv2.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
		})
	}
}
