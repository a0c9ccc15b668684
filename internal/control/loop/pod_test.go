package loop

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodMatters(t *testing.T) {
	yes := true
	base := func() *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: "p", UID: "1", Labels: map[string]string{"app": "x"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "rs", UID: "o", Controller: &yes}},
		}}
	}
	ready := func(s corev1.ConditionStatus, at int64) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: s, LastTransitionTime: metav1.Unix(at, 0)}}
		}
	}
	for _, tc := range []struct {
		name    string
		old, is func(*corev1.Pod)
		want    bool
	}{
		{"bound", nil, func(p *corev1.Pod) { p.Spec.NodeName = "node" }, false},
		{"annotated", nil, func(p *corev1.Pod) { p.Annotations = map[string]string{"a": "b"} }, false},
		{"unschedulable", nil, func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse}}
		}, false},
		{"running", nil, func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }, false},
		{"ready", ready(corev1.ConditionFalse, 1), ready(corev1.ConditionTrue, 2), true},
		{"ready again, unseen in between", ready(corev1.ConditionTrue, 1), ready(corev1.ConditionTrue, 2), true},
		{"first heard of", nil, ready(corev1.ConditionTrue, 1), true},
		{"failed", nil, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, true},
		{"on its way out", nil, func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(9, 0)} }, true},
		{"labelled", nil, func(p *corev1.Pod) { p.Labels = nil }, true},
		{"released", nil, func(p *corev1.Pod) { p.OwnerReferences = nil }, true},
		{"another of its name", nil, func(p *corev1.Pod) { p.UID = "2" }, true},
	} {
		old, is := base(), base()
		if tc.old != nil {
			tc.old(old)
		}
		tc.is(is)
		if got := PodMatters(old, is); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
