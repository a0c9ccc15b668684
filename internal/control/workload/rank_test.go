package workload

import (
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var now = time.Unix(1e9, 0)

type podOption func(*corev1.Pod)

func mkPod(name string, opts ...podOption) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}}
	p.Spec.NodeName = "node-" + name
	p.Status.Phase = corev1.PodRunning
	readyFor(time.Hour)(p)
	for _, o := range opts {
		o(p)
	}
	return p
}

func readyFor(d time.Duration) podOption {
	return func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-d))}}
	}
}
func unready(p *corev1.Pod)  { p.Status.Conditions = nil }
func pending(p *corev1.Pod)  { p.Status.Phase = corev1.PodPending; unready(p) }
func homeless(p *corev1.Pod) { p.Spec.NodeName = ""; pending(p) }
func on(node string) podOption {
	return func(p *corev1.Pod) { p.Spec.NodeName = node }
}
func cost(c string) podOption {
	return func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: c} }
}
func restarted(n int32) podOption {
	return func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: n}} }
}
func aged(d time.Duration) podOption {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-d)) }
}

func TestVictims(t *testing.T) {
	for _, tc := range []struct {
		name        string
		first, last *corev1.Pod
	}{
		{"unassigned", mkPod("b", homeless), mkPod("a", pending)},
		{"pending", mkPod("b", pending), mkPod("a", unready)},
		{"not ready", mkPod("b", unready), mkPod("a")},
		{"cheaper", mkPod("b", cost("-5")), mkPod("a", cost("3"))},
		{"cheaper than nothing", mkPod("b", cost("-5")), mkPod("a")},
		{"a cost that is no number counts as none", mkPod("a", cost("+7")), mkPod("b", cost("1"))},
		{"not ready before cheaper", mkPod("b", unready, cost("100")), mkPod("a", cost("-100"))},
		{"ready for less time", mkPod("b", readyFor(time.Minute)), mkPod("a", readyFor(time.Hour))},
		{"restarted more", mkPod("b", restarted(3)), mkPod("a", restarted(1))},
		{"younger", mkPod("b", aged(time.Minute)), mkPod("a", aged(24*time.Hour))},
		{"of like age by uid", mkPod("a", aged(61*time.Minute)), mkPod("b", aged(60*time.Minute))},
	} {
		for _, in := range [][]*corev1.Pod{{tc.first, tc.last}, {tc.last, tc.first}} {
			if got := victims(in, in, 1, now); got[0] != tc.first {
				t.Errorf("%s: %s goes", tc.name, got[0].Name)
			}
		}
	}
	together := []*corev1.Pod{mkPod("a", on("x")), mkPod("b", on("y")), mkPod("c", on("y"))}
	if got := victims(together, together, 1, now); got[0].Name == "a" {
		t.Error("the one that is alone on its node goes")
	}
	if got := victims(together, nil, 7, now); len(got) != 3 {
		t.Error("more than there are")
	}
}

func TestPlanReplicasIsLimited(t *testing.T) {
	none := func() []*corev1.Pod { return nil }
	if n, gone := planReplicas(2*burst, nil, none, now); n != burst || gone != nil {
		t.Error(n, gone)
	}
	var many []*corev1.Pod
	for range burst + 500 {
		many = append(many, mkPod("x"))
	}
	if n, gone := planReplicas(0, many, none, now); n != 0 || len(gone) != burst {
		t.Error(n, len(gone))
	}
	if n, gone := planReplicas(burst+500, many, none, now); n != 0 || len(gone) != 0 {
		t.Error(n, len(gone))
	}
}

func TestStatusOf(t *testing.T) {
	three := int32(3)
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Generation: 4}, Spec: appsv1.ReplicaSetSpec{Replicas: &three, MinReadySeconds: 30, Template: template("v1")}}
	labelled := func(p *corev1.Pod) { p.Labels = map[string]string{"app": "x", "more": "y"} }
	pods := []*corev1.Pod{mkPod("a", labelled, readyFor(time.Minute)), mkPod("b", readyFor(10*time.Second)), mkPod("c", unready)}
	s, next := statusOf(rs, pods, pods[:1], errors.New("quota"), now)
	if s.Replicas != 3 || s.FullyLabeledReplicas != 1 || s.ReadyReplicas != 2 || s.AvailableReplicas != 1 || *s.TerminatingReplicas != 1 || s.ObservedGeneration != 4 {
		t.Errorf("%+v", s)
	}
	if next != 20*time.Second {
		t.Errorf("next look after %v", next)
	}
	rs.Status = s
	if s, _ = statusOf(rs, pods[:1], nil, errors.New("another"), now); len(s.Conditions) != 1 || s.Conditions[0].Message != "quota" {
		t.Errorf("%+v", s.Conditions)
	}
	rs.Status.Conditions = nil
	if s, _ = statusOf(rs, pods[:1], nil, errors.New("quota"), now); len(s.Conditions) != 1 || s.Conditions[0].Reason != "FailedCreate" {
		t.Errorf("%+v", s.Conditions)
	}
	rs.Status = s
	if s, _ = statusOf(rs, pods, nil, nil, now); len(s.Conditions) != 0 {
		t.Errorf("%+v", s.Conditions)
	}
}
