package disruption

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestExhausted(t *testing.T) {
	for name, c := range map[string]struct {
		status policyv1.PodDisruptionBudgetStatus
		code   int32
		cause  string
	}{
		"not seen yet": {policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1}, 429, "The disruption budget b is still being processed by the server."},
		"negative": {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: -1}, 403,
			"The disruption budget b does not allow evicting pods currently: pdb disruptions allowed is negative"},
		"too few": {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DesiredHealthy: 2, CurrentHealthy: 2}, 429,
			"The disruption budget b needs 2 healthy pods and has 2 currently"},
		"failed": {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{{
			Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason, Message: "no scale",
		}}}, 429, "The disruption budget b does not allow evicting pods currently because it failed sync: no scale"},
		"allowed": {policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: 1}, 0, ""},
	} {
		err := Exhausted(&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "b", Generation: 1}, Status: c.status})
		if c.code == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		status, _ := err.(apierrors.APIStatus)
		if status == nil || status.Status().Code != c.code || status.Status().Details.Causes[0].Message != c.cause ||
			status.Status().Details.Causes[0].Type != policyv1.DisruptionBudgetCause {
			t.Errorf("%s: %+v", name, err)
		}
	}
}

func TestTake(t *testing.T) {
	b := &policyv1.PodDisruptionBudget{Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1, ObservedGeneration: 3}}
	Take(b, "p")
	c := apimeta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	if _, ok := b.Status.DisruptedPods["p"]; !ok || b.Status.DisruptionsAllowed != 0 || c == nil || c.Reason != policyv1.InsufficientPodsReason || c.ObservedGeneration != 3 {
		t.Errorf("after the last: %+v", b.Status)
	}
}

func TestFree(t *testing.T) {
	always := policyv1.AlwaysAllow
	ready := &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		b    policyv1.PodDisruptionBudget
		want bool
	}{
		"ready":              {ready, policyv1.PodDisruptionBudget{Spec: policyv1.PodDisruptionBudgetSpec{UnhealthyPodEvictionPolicy: &always}}, false},
		"always":             {&corev1.Pod{}, policyv1.PodDisruptionBudget{Spec: policyv1.PodDisruptionBudgetSpec{UnhealthyPodEvictionPolicy: &always}}, true},
		"enough are healthy": {&corev1.Pod{}, policyv1.PodDisruptionBudget{Status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 1, DesiredHealthy: 1}}, true},
		"too few are":        {&corev1.Pod{}, policyv1.PodDisruptionBudget{Status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 1, DesiredHealthy: 2}}, false},
		"nothing is known":   {&corev1.Pod{}, policyv1.PodDisruptionBudget{}, false},
	} {
		if got := Free(c.pod, &c.b); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
