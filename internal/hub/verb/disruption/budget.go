package disruption

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// mostDisrupted is how many evictions may wait for the controller to notice them.
const mostDisrupted = 2000

// Serving reports whether the pod may be serving somebody, so that its budget counts.
func Serving(pod *corev1.Pod) bool {
	switch pod.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed, corev1.PodPending:
		return false
	}
	return pod.DeletionTimestamp == nil
}

// Free reports whether pod, which is not ready, can go without its budget being asked.
func Free(pod *corev1.Pod, b *policyv1.PodDisruptionBudget) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

// Take takes one disruption for the pod of that name. b is the caller's own.
func Take(b *policyv1.PodDisruptionBudget, pod string) {
	s := &b.Status
	s.DisruptionsAllowed--
	if s.DisruptionsAllowed == 0 {
		apimeta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason,
			ObservedGeneration: s.ObservedGeneration,
		})
	}
	if s.DisruptedPods == nil {
		s.DisruptedPods = map[string]metav1.Time{}
	}
	s.DisruptedPods[pod] = metav1.Time{Time: time.Now()}
}

// Exhausted refuses a disruption that the budget does not allow.
func Exhausted(b *policyv1.PodDisruptionBudget) error {
	s := &b.Status
	gr := schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudget"}
	const not = "The disruption budget %s does not allow evicting pods currently"
	switch {
	case s.ObservedGeneration < b.Generation:
		return StillProcessed(b.Name)
	case s.DisruptionsAllowed < 0:
		const why = "pdb disruptions allowed is negative"
		return because(apierrors.NewForbidden(gr, b.Name, errors.New(why)), not+": "+why, b.Name)
	case len(s.DisruptedPods) > mostDisrupted:
		return because(apierrors.NewForbidden(gr, b.Name, errors.New("DisruptedPods map too big - too many evictions not confirmed by PDB controller")),
			not+": too many pending evictions not confirmed by PDB controller", b.Name)
	case s.DisruptionsAllowed > 0:
		return nil
	}
	err := apierrors.NewTooManyRequests(wouldViolate, 0)
	c := apimeta.FindStatusCondition(s.Conditions, policyv1.DisruptionAllowedCondition)
	told := c != nil && c.Status == metav1.ConditionFalse && c.Message != ""
	switch {
	case told && c.Reason == policyv1.SyncFailedReason:
		return because(err, not+" because it failed sync: %s", b.Name, c.Message)
	case s.CurrentHealthy <= s.DesiredHealthy:
		return because(err, "The disruption budget %s needs %d healthy pods and has %d currently", b.Name, s.DesiredHealthy, s.CurrentHealthy)
	case told:
		return because(err, not+" (%s): %s", b.Name, c.Reason, c.Message)
	}
	return because(err, not, b.Name)
}

const wouldViolate = "Cannot evict pod as it would violate the pod's disruption budget."

// StillProcessed asks the caller to come again: the controller has not looked at the budget yet.
func StillProcessed(name string) error {
	return because(apierrors.NewTooManyRequests(wouldViolate, 10), "The disruption budget %s is still being processed by the server.", name)
}

// because adds the cause that clients look for.
func because(err *apierrors.StatusError, format string, args ...any) error {
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: policyv1.DisruptionBudgetCause, Message: fmt.Sprintf(format, args...),
	})
	return err
}
