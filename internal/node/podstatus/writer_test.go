package podstatus

import (
	"testing"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
)

func TestMergeHoldsBackTerminalPhases(t *testing.T) {
	cur := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: "other/x", Status: corev1.ConditionTrue}}}}
	ours := &corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	m := merge(cur, ours, true)
	if m.Phase != corev1.PodRunning || m.Reason != "" || pods.FindCondition(m.Conditions, "other/x") == nil {
		t.Errorf("%+v", m)
	}
	m = merge(cur, ours, false)
	if m.Phase != corev1.PodFailed || m.Reason != "Evicted" || pods.FindCondition(m.Conditions, corev1.PodReady).Status != corev1.ConditionFalse {
		t.Errorf("%+v", m)
	}
}
