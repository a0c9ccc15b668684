package disruption

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestWanted(t *testing.T) {
	at := func(s string) *intstr.IntOrString { v := intstr.Parse(s); return &v }
	for _, c := range []struct {
		max, min *intstr.IntOrString
		pods     int
		scale    int32
		want     string // expected, healthy, whether the scale is asked
	}{
		{at("1"), nil, 2, 5, "5 4 true"},
		{at("30%"), nil, 2, 10, "10 7 true"},
		{at("25%"), nil, 2, 10, "10 7 true"}, // 2.5 is rounded up
		{at("100%"), nil, 2, 10, "10 0 true"},
		{at("20"), nil, 2, 10, "10 0 true"},
		{nil, at("3"), 2, 10, "2 3 false"},
		{nil, at("50%"), 2, 5, "5 3 true"}, // so is what has to be there
		{nil, at("0%"), 2, 5, "5 0 true"},
		{nil, nil, 2, 5, "0 0 false"},
		{nil, at("x"), 2, 5, "error"},
		{at("x"), nil, 2, 5, "error"},
	} {
		spec := &policyv1.PodDisruptionBudgetSpec{MaxUnavailable: c.max, MinAvailable: c.min}
		expected, healthy, err := wanted(spec, c.pods, c.scale)
		got := fmt.Sprint(expected, healthy, needsScale(spec))
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("max %v, min %v of %d pods, scale %d: %s, want %s", c.max, c.min, c.pods, c.scale, got, c.want)
		}
	}
}

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func pod(name string, ready bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return p
}

func TestPlan(t *testing.T) {
	dying := pod("dying", true)
	dying.DeletionTimestamp = &metav1.Time{Time: now}
	for _, c := range []struct {
		name              string
		pods              []*corev1.Pod
		disrupted         map[string]metav1.Time
		expected, healthy int32
		want              string // healthy now, allowed, disrupted, recheck, spared, reason
	}{
		{"enough", []*corev1.Pod{pod("a", true), pod("b", true)}, nil, 2, 1, "2 1 0 0s 0 SufficientPods"},
		{"just enough", []*corev1.Pod{pod("a", true), pod("b", false)}, nil, 2, 1, "1 0 0 0s 0 InsufficientPods"},
		{"one goes", []*corev1.Pod{pod("a", true), dying}, nil, 2, 0, "1 1 0 0s 0 SufficientPods"},
		{"none", nil, nil, 0, 0, "0 0 0 0s 0 InsufficientPods"},
		{"nothing expected", []*corev1.Pod{pod("a", true)}, nil, 0, 0, "1 0 0 0s 0 InsufficientPods"},
		{"evicted", []*corev1.Pod{pod("a", true), pod("b", true)}, map[string]metav1.Time{"a": ago(30 * time.Second)}, 2, 1, "1 0 1 1m30s 0 InsufficientPods"},
		{"evicted, the first is due", []*corev1.Pod{pod("a", true), pod("b", true)},
			map[string]metav1.Time{"a": ago(30 * time.Second), "b": ago(time.Minute)}, 2, 1, "0 0 2 1m0s 0 InsufficientPods"},
		{"evicted, and goes", []*corev1.Pod{dying, pod("b", true)}, map[string]metav1.Time{"dying": ago(0)}, 2, 0, "1 1 0 0s 0 SufficientPods"},
		{"evicted, and gone", []*corev1.Pod{pod("b", true)}, map[string]metav1.Time{"a": ago(0)}, 2, 0, "1 1 0 0s 0 SufficientPods"},
		{"evicted, and did not go", []*corev1.Pod{pod("a", true), pod("b", true)}, map[string]metav1.Time{"a": ago(3 * time.Minute)}, 2, 1, "2 1 0 0s 1 SufficientPods"},
		{"at the very moment", []*corev1.Pod{pod("a", true)}, map[string]metav1.Time{"a": ago(2 * time.Minute)}, 1, 0, "1 1 1 1ms 0 SufficientPods"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Generation: 3}, Status: policyv1.PodDisruptionBudgetStatus{DisruptedPods: c.disrupted}}
			out := plan(b, c.pods, c.expected, c.healthy, now)
			s := out.status
			got := fmt.Sprintf("%d %d %d %v %d %s", s.CurrentHealthy, s.DisruptionsAllowed, len(s.DisruptedPods), out.recheck, len(out.spared), s.Conditions[0].Reason)
			if got != c.want || !out.changed || s.ObservedGeneration != 3 || s.Conditions[0].ObservedGeneration != 3 || s.ExpectedPods != c.expected {
				t.Errorf("%s (%+v), want %s", got, out, c.want)
			}
			b.Status = s
			if again := plan(b, c.pods, c.expected, c.healthy, now); again.changed {
				t.Errorf("changed by nothing: %+v", again)
			}
			b.Generation++
			if again := plan(b, c.pods, c.expected, c.healthy, now); !again.changed {
				t.Error("a new generation is not observed")
			}
		})
	}
}

func TestFailed(t *testing.T) {
	b := &policyv1.PodDisruptionBudget{Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 2, CurrentHealthy: 3, ObservedGeneration: 1}}
	s, changed := failed(b, hopeless(errors.New("oh")))
	if c := s.Conditions[0]; !changed || s.DisruptionsAllowed != 0 || s.CurrentHealthy != 3 || c.Reason != "SyncFailed" || c.Message != "oh" || c.Status != "False" {
		t.Errorf("%+v", s)
	}
	b.Status = s
	if _, changed := failed(b, errors.New("oh")); changed {
		t.Error("changed by the same failure")
	}
}

func TestDisrupted(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod, *corev1.PodCondition)
		want   string
	}{
		"waits":          {func(*corev1.Pod, *corev1.PodCondition) {}, "true 1m0s"},
		"due":            {func(_ *corev1.Pod, c *corev1.PodCondition) { c.LastTransitionTime = ago(time.Hour) }, "true 0s"},
		"not disrupted":  {func(_ *corev1.Pod, c *corev1.PodCondition) { c.Status = corev1.ConditionFalse }, "false 0s"},
		"by the kubelet": {func(_ *corev1.Pod, c *corev1.PodCondition) { c.Reason = corev1.PodReasonTerminationByKubelet }, "false 0s"},
		"ended":          {func(p *corev1.Pod, _ *corev1.PodCondition) { p.Status.Phase = corev1.PodFailed }, "false 0s"},
		"goes":           {func(p *corev1.Pod, _ *corev1.PodCondition) { p.DeletionTimestamp = &metav1.Time{Time: now} }, "false 0s"},
	} {
		p := pod("p", true)
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: ago(time.Minute)})
		c.change(p, &p.Status.Conditions[1])
		if is, left := disrupted(p, now); fmt.Sprint(is, " ", left) != c.want {
			t.Errorf("%s: %v %v, want %s", name, is, left, c.want)
		}
	}
}
