package autoscale

import (
	"fmt"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// happening is an event about an autoscaler.
type happening struct{ kind, reason, message string }

// look is one look at an autoscaler, in the hands of one worker. hpa.Status is what will be written, was what is stored.
type look struct {
	hpa     *autoscalingv2.HorizontalPodAutoscaler
	was     autoscalingv2.HorizontalPodAutoscalerStatus
	history *history
	window  time.Duration // of stabilization downwards, where the behaviour says none
	now     time.Time
	events  []happening
}

func lookAt(hpa *autoscalingv2.HorizontalPodAutoscaler, h *history, window time.Duration, now time.Time) *look {
	own := *hpa
	own.Status = *hpa.Status.DeepCopy()
	return &look{hpa: &own, was: hpa.Status, history: h, window: window, now: now}
}

func (l *look) changed() bool { return !apiequality.Semantic.DeepEqual(&l.was, &l.hpa.Status) }

func (l *look) tell(kind, reason, format string, args ...any) {
	l.events = append(l.events, happening{kind, reason, fmt.Sprintf(format, args...)})
}

// set sets a condition.
func (l *look) set(kind autoscalingv2.HorizontalPodAutoscalerConditionType, status corev1.ConditionStatus, reason, message string) {
	list := &l.hpa.Status.Conditions
	i := slices.IndexFunc(*list, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool { return c.Type == kind })
	if i < 0 {
		*list = append(*list, autoscalingv2.HorizontalPodAutoscalerCondition{Type: kind})
		i = len(*list) - 1
	}
	c := &(*list)[i]
	if c.Status != status {
		c.LastTransitionTime = metav1.NewTime(l.now)
	}
	c.Status, c.Reason, c.Message = status, reason, message
}

// unscalable says that the target's scale cannot be had.
func (l *look) unscalable(err error) {
	l.tell(corev1.EventTypeWarning, "FailedGetScale", "%s", err)
	l.set(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale", fmt.Sprintf("the HPA controller was unable to get the target's current scale: %v", err))
}

// unselected says that it is not known which pods the target has.
func (l *look) unselected(reason, condition, message string) {
	l.tell(corev1.EventTypeWarning, reason, "%s", message)
	if condition == "" {
		condition = message
	}
	if reason == "SelectorRequired" {
		reason = "InvalidSelector"
	}
	l.set(autoscalingv2.ScalingActive, corev1.ConditionFalse, reason, condition)
}

// step is a number of replicas, why it is wanted, and whether the metrics have to be asked first.
type step struct {
	desired int32
	reason  string
	measure bool
}

// first is what the number of replicas alone says. What somebody has set to zero is left alone; what the autoscaler has is not.
func (l *look) first(current int32) step {
	least := l.least()
	switch {
	case current == 0:
		if l.isZeroed() && (least != 0 || l.sleeps()) {
			return step{measure: true}
		}
		l.set(autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		return step{}
	case current > l.hpa.Spec.MaxReplicas:
		return step{l.hpa.Spec.MaxReplicas, "Current number of replicas above Spec.MaxReplicas", false}
	case current < least:
		return step{least, "Current number of replicas below Spec.MinReplicas", false}
	}
	return step{measure: true}
}

// best chooses among the proposals, failures among them, the greatest. One that failed lets nothing shrink. It returns an error
// when nothing can be said, or a warning about those that failed.
func (l *look) best(current int32, proposals []proposal, failures []*failed) (p proposal, warning, err error) {
	bad := 0
	var first *failed
	for i, one := range proposals {
		if f := failures[i]; f != nil {
			l.tell(corev1.EventTypeWarning, f.reason, "%s", f.err)
			if bad++; first == nil {
				first = f
			}
		} else if p.replicas == 0 || one.replicas > p.replicas {
			p = one
		}
	}
	if first != nil {
		warning = fmt.Errorf("invalid metrics (%v invalid out of %v), first error is: %w", bad, len(proposals), first.whole)
	}
	if bad == len(proposals) || bad > 0 && p.replicas < current {
		if first != nil {
			l.set(autoscalingv2.ScalingActive, corev1.ConditionFalse, first.reason, fmt.Sprintf("the HPA was unable to compute the replica count: %v", first.err))
		}
		return p, nil, warning
	}
	l.set(autoscalingv2.ScalingActive, corev1.ConditionTrue, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from "+p.metric)
	return p, warning, nil
}

// then is the number of replicas after the metrics have spoken: as far as the past and the limits let it through.
func (l *look) then(current int32, p proposal) step {
	s := step{desired: p.replicas}
	switch {
	case s.desired > current:
		s.reason = p.metric + " above target"
	case s.desired < current:
		s.reason = "All metrics below target"
	}
	a := asked{min: l.least(), max: l.hpa.Spec.MaxReplicas, current: current, desired: s.desired, now: l.now}
	var v verdict
	if b := l.hpa.Spec.Behavior; b == nil {
		v = l.history.limit(a, l.window)
	} else {
		v = l.history.limitBy(a, b, l.window)
	}
	l.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, v.able, v.ableMessage)
	limited := corev1.ConditionFalse
	if v.isLimited {
		limited = corev1.ConditionTrue
	}
	l.set(autoscalingv2.ScalingLimited, limited, v.limited, v.limitedMessage)
	s.desired = v.replicas
	if current == 0 && s.desired < a.min && l.isZeroed() {
		s.desired = a.min
		if s.reason == "" {
			s.reason = "Current number of replicas below Spec.MinReplicas"
		}
	}
	return s
}

// scaled says that the target has been given another number of replicas.
func (l *look) scaled(current int32, s step) {
	l.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededRescale", fmt.Sprintf("the HPA controller was able to update the target scale to %d", s.desired))
	l.tell(corev1.EventTypeNormal, "SuccessfulRescale", "New size: %d; reason: %s", s.desired, s.reason)
	l.history.changed(l.hpa.Spec.Behavior, current, s.desired, l.now)
	if current > 0 && s.desired == 0 && l.least() == 0 && l.sleeps() {
		l.set(autoscalingv2.ScaledToZero, corev1.ConditionTrue, "ScaledToZero", "the HPA controller scaled the workload to zero")
	} else {
		l.set(autoscalingv2.ScaledToZero, corev1.ConditionFalse, "NotScaledToZero", "the HPA controller did not scale the workload to zero")
	}
}

// unscaled says that it could not be given one.
func (l *look) unscaled(s step, err error) {
	l.tell(corev1.EventTypeWarning, "FailedRescale", "New size: %d; reason: %s; error: %v", s.desired, s.reason, err)
	l.set(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedUpdateScale", fmt.Sprintf("the HPA controller was unable to update the target scale: %v", err))
}

// conclude writes the numbers into the status.
func (l *look) conclude(current, desired int32, metrics []autoscalingv2.MetricStatus, scaled bool) {
	s := &l.hpa.Status
	s.CurrentReplicas, s.DesiredReplicas, s.CurrentMetrics, s.ObservedGeneration = current, desired, metrics, new(l.hpa.Generation)
	if scaled {
		s.LastScaleTime = &metav1.Time{Time: l.now}
	}
}

// least is the smallest number of replicas.
func (l *look) least() int32 {
	if n := l.hpa.Spec.MinReplicas; n != nil {
		return *n
	}
	return 1
}

// sleeps reports whether the target may go to zero and come back: some metric can be had when it has no pods.
func (l *look) sleeps() bool {
	return slices.ContainsFunc(l.hpa.Spec.Metrics, func(m autoscalingv2.MetricSpec) bool {
		return m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType
	})
}

// isZeroed reports whether it was the autoscaler that set the target to zero.
func (l *look) isZeroed() bool {
	return slices.ContainsFunc(l.hpa.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return c.Type == autoscalingv2.ScaledToZero && c.Status == corev1.ConditionTrue
	})
}

// within is how far the usage may be from its target without a change.
func (l *look) within(otherwise float64) tolerances {
	t := tolerances{otherwise, otherwise}
	if b := l.hpa.Spec.Behavior; b != nil {
		if b.ScaleDown != nil && b.ScaleDown.Tolerance != nil {
			t.down = b.ScaleDown.Tolerance.AsApproximateFloat64()
		}
		if b.ScaleUp != nil && b.ScaleUp.Tolerance != nil {
			t.up = b.ScaleUp.Tolerance.AsApproximateFloat64()
		}
	}
	return t
}

// noMatch is the error of a kind that is not served, in the words of upstream's mapper.
func noMatch(k schema.GroupKind) error {
	if k.Group == "" {
		return fmt.Errorf("no matches for kind %q in group \"\"", k.Kind)
	}
	return fmt.Errorf("no matches for kind %q in group %q", k.Kind, k.Group)
}

// rivals writes the names of autoscalers that have the same pods as upstream's list prints them.
func rivals(keys [][2]string) string {
	var out []string
	for _, k := range keys {
		out = append(out, fmt.Sprintf("{%s %s}", k[1], k[0]))
	}
	return "[" + strings.Join(out, " ") + "]"
}
