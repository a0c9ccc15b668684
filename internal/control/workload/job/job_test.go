package job

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestSpans(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"", ""}, {"3", "3"}, {"1,2", "1,2"}, {"1,2,3", "1-3"}, {"0-1,3-5,9", "0,1,3-5,9"}, {"0-100", "0-9"}, {"1,x,3", "1,3"}, {"4-x,5", "5"}, {"12", ""},
	} {
		if got := parseSpans(c.in, 10).String(); got != c.out {
			t.Errorf("%q: %q, want %q", c.in, got, c.out)
		}
	}
	for _, c := range []struct{ a, b, all string }{
		{"", "1", "1"}, {"1-3", "", "1-3"}, {"0,2,4", "1,3", "0-4"}, {"0-5", "2,3", "0-5"}, {"7", "0,1", "0,1,7"}, {"0-3", "2-6,8", "0-6,8"},
	} {
		a, b := parseSpans(c.a, 10), parseSpans(c.b, 10)
		if got := a.merge(b).String(); got != c.all {
			t.Errorf("%q and %q: %q, want %q", c.a, c.b, got, c.all)
		}
	}
	s := parseSpans("1,3-5,8", 10)
	for i := range 10 {
		if want := slices.Contains([]int{1, 3, 4, 5, 8}, i); s.has(i) != want {
			t.Errorf("has %d: %t", i, !want)
		}
	}
	if got := fmt.Sprint(s.missing(4, 10), s.missing(99, 10), s.missing(0, 10), s.total(), s.shared(parseSpans("0-3,5,9", 10))); got != "[0 2 6 7] [0 2 6 7 9] [] 5 3" {
		t.Error(got)
	}
}

var epoch = time.Unix(1_700_000_000, 0)

// at makes a pod of an index (-1: none) in a phase, that ended a number of seconds after the epoch.
func at(name string, index int, phase corev1.PodPhase, seconds int) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID(name), Finalizers: []string{batchv1.JobTrackingFinalizer}}}
	if index >= 0 {
		p.Annotations = map[string]string{batchv1.JobCompletionIndexAnnotation: fmt.Sprint(index)}
	}
	p.Status.Phase = phase
	if phase == corev1.PodSucceeded || phase == corev1.PodFailed {
		code := int32(0)
		if phase == corev1.PodFailed {
			code = 1
		}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, FinishedAt: metav1.NewTime(epoch.Add(time.Duration(seconds) * time.Second))}}}}
	}
	return p
}

func TestBackoff(t *testing.T) {
	failed := func(seconds ...int) (out []*corev1.Pod) {
		for _, s := range seconds {
			out = append(out, at("f", -1, corev1.PodFailed, s))
		}
		return out
	}
	succeeded := []*corev1.Pod{at("s", -1, corev1.PodSucceeded, 50)}
	for name, c := range map[string]struct {
		past              failures
		succeeded, failed []*corev1.Pod
		count             int32
		left              time.Duration // at 100 s
	}{
		"nothing":                {failures{}, nil, nil, 0, 0},
		"first":                  {failures{}, nil, failed(95), 1, 5 * time.Second},
		"long ago":               {failures{}, nil, failed(80), 1, 0},
		"third":                  {failures{2, epoch}, nil, failed(90), 3, 30 * time.Second},
		"many":                   {failures{50, epoch}, nil, failed(100), 51, 10 * time.Minute},
		"success ends the row":   {failures{5, epoch}, succeeded, nil, 0, 0},
		"failures after success": {failures{5, epoch}, succeeded, failed(40, 95, 60), 2, 15 * time.Second},
		"success after failures": {failures{5, epoch}, succeeded, failed(40, 45), 0, 0},
		"nothing new":            {failures{2, epoch.Add(99 * time.Second)}, nil, nil, 2, 19 * time.Second},
	} {
		got := c.past.and(c.succeeded, c.failed)
		if left := got.left(epoch.Add(100 * time.Second)); got.count != c.count || left != c.left {
			t.Errorf("%s: %d, %v left, want %d, %v", name, got.count, left, c.count, c.left)
		}
	}
}

func TestEnded(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	p := at("p", -1, corev1.PodFailed, 10)
	p.Spec.InitContainers = []corev1.Container{{Name: "side", RestartPolicy: &always}, {Name: "init"}}
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{
		{Name: "side", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: metav1.NewTime(epoch.Add(20 * time.Second))}}}, {Name: "init"},
	}
	if got := ended(p).Sub(epoch); got != 20*time.Second {
		t.Errorf("a sidecar ends last: %v", got)
	}
	p = at("p", -1, corev1.PodRunning, 0)
	p.CreationTimestamp = metav1.NewTime(epoch)
	if got := ended(p).Sub(epoch); got != 0 {
		t.Errorf("by creation: %v", got)
	}
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: epoch.Add(time.Minute)}, new(int64(30))
	if got := ended(p).Sub(epoch); got != 30*time.Second {
		t.Errorf("by deletion: %v", got)
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(epoch.Add(time.Hour))}}
	if got := ended(p).Sub(epoch); got != time.Hour {
		t.Errorf("by readiness: %v", got)
	}
}

func TestJudge(t *testing.T) {
	on := func(action batchv1.PodFailurePolicyAction, op batchv1.PodFailurePolicyOnExitCodesOperator, container *string, codes ...int32) batchv1.PodFailurePolicyRule {
		return batchv1.PodFailurePolicyRule{Action: action, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: op, ContainerName: container, Values: codes}}
	}
	disrupted := batchv1.PodFailurePolicyRule{Action: batchv1.PodFailurePolicyActionIgnore,
		OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}}
	p := at("p", -1, corev1.PodFailed, 0)
	victim := p.DeepCopy()
	victim.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}
	in, notIn := batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn
	for name, c := range map[string]struct {
		rules  []batchv1.PodFailurePolicyRule
		pod    *corev1.Pod
		want   string
		counts bool
	}{
		"no rule":         {nil, p, "", true},
		"no match":        {[]batchv1.PodFailurePolicyRule{on("Ignore", in, nil, 2)}, p, "", true},
		"ignored":         {[]batchv1.PodFailurePolicyRule{on("Ignore", in, nil, 1, 2)}, p, "Ignore", false},
		"not in":          {[]batchv1.PodFailurePolicyRule{on("FailIndex", notIn, nil, 2)}, p, "FailIndex", true},
		"other container": {[]batchv1.PodFailurePolicyRule{on("Ignore", in, new("other"), 1)}, p, "", true},
		"first rule wins": {[]batchv1.PodFailurePolicyRule{on("Count", in, nil, 1), on("FailJob", in, nil, 1)}, p, "Count", true},
		"fails":           {[]batchv1.PodFailurePolicyRule{disrupted, on("FailJob", in, new("c"), 1)}, p, "FailJob Container c for pod ns/p failed with exit code 1 matching FailJob rule at index 1", true},
		"disrupted":       {[]batchv1.PodFailurePolicyRule{disrupted, on("FailJob", in, nil, 1)}, victim, "Ignore", false},
	} {
		v := judge(&batchv1.PodFailurePolicy{Rules: c.rules}, c.pod)
		if got := strings.TrimSpace(string(v.action) + " " + v.message); got != c.want || v.counts() != c.counts {
			t.Errorf("%s: %q, counts: %t", name, got, v.counts())
		}
	}
	if v := judge(nil, p); !v.counts() || v.action != "" {
		t.Errorf("no policy: %+v", v)
	}
}

func TestEnough(t *testing.T) {
	for name, c := range map[string]struct {
		rules []batchv1.SuccessPolicyRule
		done  string
		want  string
	}{
		"none done":    {[]batchv1.SuccessPolicyRule{{SucceededCount: new(int32(0))}}, "", ""},
		"all of some":  {[]batchv1.SuccessPolicyRule{{SucceededIndexes: new("0-2")}}, "0-5", "Matched rules at index 0"},
		"part of some": {[]batchv1.SuccessPolicyRule{{SucceededIndexes: new("0-2")}}, "0,1,5", ""},
		"count":        {[]batchv1.SuccessPolicyRule{{SucceededIndexes: new("7")}, {SucceededCount: new(int32(2))}}, "1,3", "Matched rules at index 1"},
		"count among":  {[]batchv1.SuccessPolicyRule{{SucceededIndexes: new("0-9"), SucceededCount: new(int32(2))}}, "1,3", "Matched rules at index 0"},
		"unreadable":   {[]batchv1.SuccessPolicyRule{{SucceededIndexes: new("x")}}, "1,3", ""},
	} {
		if got, met := enough(&batchv1.SuccessPolicy{Rules: c.rules}, 10, parseSpans(c.done, 10)); got != c.want || met != (c.want != "") {
			t.Errorf("%s: %q %t", name, got, met)
		}
	}
}
