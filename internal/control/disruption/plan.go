package disruption

import (
	"time"

	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// deletionTimeout is how long an evicted pod may take to be seen deleted before its disruption is given back.
const deletionTimeout = 2 * time.Minute

// staleTimeout is how long the condition DisruptionTarget stays true on a pod that nobody deletes.
const staleTimeout = 2 * time.Minute

// wanted is how many pods a budget covers and how many of them have to be healthy. scale is how many pods the controllers of the
// selected pods want; it counts only where needsScale says so.
func wanted(spec *policyv1.PodDisruptionBudgetSpec, pods int, scale int32) (expected, healthy int32, err error) {
	switch {
	case spec.MaxUnavailable != nil:
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MaxUnavailable, int(scale), true)
		if err != nil {
			return scale, 0, err
		}
		return scale, max(scale-int32(n), 0), nil
	case spec.MinAvailable == nil:
		return 0, 0, nil
	case spec.MinAvailable.Type == intstr.Int:
		return int32(pods), spec.MinAvailable.IntVal, nil
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(spec.MinAvailable, int(scale), true)
	return scale, int32(n), err
}

// needsScale reports whether a budget is of a part of the pods that there should be, and not of a number.
func needsScale(spec *policyv1.PodDisruptionBudgetSpec) bool {
	return spec.MaxUnavailable != nil || spec.MinAvailable != nil && spec.MinAvailable.Type == intstr.String
}

// outcome is what a look at a budget leads to.
type outcome struct {
	status  policyv1.PodDisruptionBudgetStatus
	changed bool
	recheck time.Duration // when the first of the disrupted pods is due; 0: there are none
	spared  []*corev1.Pod // evicted pods that did not go in time
}

// plan decides about a budget that selects pods, expected of which there should be and healthy of which have to be.
func plan(b *policyv1.PodDisruptionBudget, pods []*corev1.Pod, expected, healthy int32, now time.Time) outcome {
	var out outcome
	disrupted := map[string]metav1.Time{}
	current := int32(0)
	for _, p := range pods {
		if p.DeletionTimestamp != nil {
			continue
		}
		since, ok := b.Status.DisruptedPods[p.Name]
		due := since.Add(deletionTimeout)
		switch {
		case !ok:
		case due.Before(now):
			out.spared = append(out.spared, p)
		default:
			disrupted[p.Name] = since
			if left := max(due.Sub(now), time.Millisecond); out.recheck == 0 || left < out.recheck {
				out.recheck = left
			}
		}
		if loop.PodReady(p) && (!ok || !due.After(now)) {
			current++
		}
	}
	allowed := max(current-healthy, 0)
	if expected <= 0 { // a budget without pods is not to let its first ones go before it has been looked at again
		allowed = 0
	}
	out.status = policyv1.PodDisruptionBudgetStatus{
		CurrentHealthy: current, DesiredHealthy: healthy, ExpectedPods: expected, DisruptionsAllowed: allowed,
		DisruptedPods: disrupted, ObservedGeneration: b.Generation, Conditions: append([]metav1.Condition{}, b.Status.Conditions...),
	}
	condition := metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason, ObservedGeneration: b.Generation,
	}
	if allowed > 0 {
		condition.Status, condition.Reason = metav1.ConditionTrue, policyv1.SufficientPodsReason
	}
	have := apimeta.FindStatusCondition(b.Status.Conditions, condition.Type)
	out.changed = have == nil || have.Status != condition.Status || have.Reason != condition.Reason || !sameCounts(&b.Status, &out.status)
	apimeta.SetStatusCondition(&out.status.Conditions, condition)
	return out
}

// sameCounts compares all but the conditions.
func sameCounts(a, b *policyv1.PodDisruptionBudgetStatus) bool {
	return a.CurrentHealthy == b.CurrentHealthy && a.DesiredHealthy == b.DesiredHealthy && a.ExpectedPods == b.ExpectedPods &&
		a.DisruptionsAllowed == b.DisruptionsAllowed && a.ObservedGeneration == b.ObservedGeneration &&
		apiequality.Semantic.DeepEqual(a.DisruptedPods, b.DisruptedPods)
}

// failed is the status of a budget that could not be looked at: nothing may be evicted, and the condition says why.
func failed(b *policyv1.PodDisruptionBudget, why error) (status policyv1.PodDisruptionBudgetStatus, changed bool) {
	status = *b.Status.DeepCopy()
	status.DisruptionsAllowed = 0
	changed = apimeta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason, Message: why.Error(),
		ObservedGeneration: status.ObservedGeneration,
	})
	return status, changed || b.Status.DisruptionsAllowed != 0
}

// disrupted reports whether a pod has the condition DisruptionTarget for others' sake and nobody has deleted it, and how long that may
// go on. A kubelet that ends a pod takes as long as it takes, and a pod that has ended needs no more writes.
func disrupted(p *corev1.Pod, now time.Time) (is bool, left time.Duration) {
	c := loop.PodCondition(p, corev1.DisruptionTarget)
	if c == nil || c.Status != corev1.ConditionTrue || c.Reason == corev1.PodReasonTerminationByKubelet || !loop.PodActive(p) {
		return false, 0
	}
	return true, max(c.LastTransitionTime.Add(staleTimeout).Sub(now), 0)
}
