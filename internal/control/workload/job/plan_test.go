package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func specOf(completions, parallelism int32, change ...func(*batchv1.JobSpec)) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Namespace: "ns"}}
	j.Spec.Parallelism, j.Spec.BackoffLimit = &parallelism, new(int32(6))
	if completions >= 0 {
		j.Spec.Completions = &completions
	}
	for _, f := range change {
		f(&j.Spec)
	}
	return j
}

func byIndex(s *batchv1.JobSpec) { s.CompletionMode = new(batchv1.IndexedCompletion) }

// TestPlan says which pods are made and deleted.
func TestPlan(t *testing.T) {
	run, ok, bad := corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed
	dying := at("dying", -1, run, 0)
	dying.DeletionTimestamp = &metav1.Time{Time: epoch}
	ready := at("ready", -1, run, 0)
	ready.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	again := at("again", 1, bad, 95)
	again.Annotations[batchv1.JobIndexFailureCountAnnotation] = "1"
	perIndex := func(s *batchv1.JobSpec) { s.BackoffLimitPerIndex = new(int32(5)) }
	for name, c := range map[string]struct {
		job  *batchv1.Job
		pods []*corev1.Pod
		want string
	}{
		"first":               {specOf(3, 2), nil, "make -1 -1"},
		"none wanted":         {specOf(0, 2), nil, ""},
		"paused":              {specOf(3, 0), []*corev1.Pod{at("a", -1, run, 0)}, "delete a"},
		"suspended":           {specOf(3, 2, func(s *batchv1.JobSpec) { s.Suspend = new(true) }), []*corev1.Pod{at("a", -1, run, 0)}, "delete a"},
		"the last":            {specOf(3, 2), []*corev1.Pod{at("a", -1, ok, 0), at("b", -1, ok, 0)}, "make -1"},
		"failed not long ago": {specOf(3, 2), []*corev1.Pod{at("a", -1, bad, 95)}, "wait 5s"},
		"failed long ago":     {specOf(3, 2), []*corev1.Pod{at("a", -1, bad, 50)}, "make -1 -1"},
		"any success ends":    {specOf(-1, 3), []*corev1.Pod{at("a", -1, ok, 0), at("b", -1, run, 0)}, ""},
		"on its way out":      {specOf(2, 2), []*corev1.Pod{dying, at("b", -1, run, 0)}, "make -1"},
		"replaced when ended": {specOf(2, 2, func(s *batchv1.JobSpec) { s.PodReplacementPolicy = new(batchv1.Failed) }), []*corev1.Pod{dying, at("b", -1, run, 0)}, ""},
		"too many":            {specOf(5, 1), []*corev1.Pod{ready, at("b", -1, run, 0)}, "delete b"},
		"indexes":             {specOf(5, 3, byIndex), []*corev1.Pod{at("a", 1, run, 0), at("b", 2, ok, 0)}, "make 0 3"},
		"index twice":         {specOf(5, 5, byIndex), []*corev1.Pod{at("a", 1, run, 0), at("b", 1, run, 0), at("c", 7, run, 0), at("d", -1, run, 0)}, "delete d a c"},
		"index tried again":   {specOf(2, 2, byIndex, perIndex), []*corev1.Pod{at("a", 0, run, 0), again}, "wait 15s"},
		"others first":        {specOf(3, 3, byIndex, perIndex), []*corev1.Pod{at("a", 0, run, 0), again}, "make 2 wait 15s"},
	} {
		var out []string
		l := lookAt(c.job, c.pods, failures{}, epoch.Add(100*time.Second))
		p := l.plan()
		if len(p.remove) > 0 {
			out = append(out, "delete")
			for _, pod := range p.remove {
				out = append(out, pod.Name)
			}
		}
		if len(p.create) > 0 {
			out = append(out, "make "+strings.Trim(fmt.Sprint(p.create), "[]"))
		}
		if p.wait > 0 {
			out = append(out, fmt.Sprint("wait ", p.wait))
		}
		if got := strings.Join(out, " "); got != c.want || l.end != nil {
			t.Errorf("%s: %q, want %q; end: %v", name, got, c.want, l.end)
		}
	}
}

// TestDecide says how a Job ends; what an earlier look has decided stands.
func TestDecide(t *testing.T) {
	ok, bad := corev1.PodSucceeded, corev1.PodFailed
	restarted := at("r", -1, corev1.PodRunning, 0)
	restarted.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 2}}
	onFailure := func(s *batchv1.JobSpec) {
		s.Template.Spec.RestartPolicy, s.BackoffLimit = corev1.RestartPolicyOnFailure, new(int32(2))
	}
	was := func(kind batchv1.JobConditionType) *batchv1.Job {
		j := specOf(1, 1)
		j.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: "Before"}}
		return j
	}
	started := specOf(1, 1, func(s *batchv1.JobSpec) { s.ActiveDeadlineSeconds = new(int64(100)) })
	started.Status.StartTime = &metav1.Time{Time: epoch}
	for name, c := range map[string]struct {
		job  *batchv1.Job
		pods []*corev1.Pod
		want string
	}{
		"goes on":           {specOf(2, 2), []*corev1.Pod{at("a", -1, ok, 0), at("b", -1, bad, 0)}, ""},
		"backoff limit":     {specOf(1, 1, func(s *batchv1.JobSpec) { s.BackoffLimit = new(int32(0)) }), []*corev1.Pod{at("a", -1, bad, 0)}, "FailureTarget BackoffLimitExceeded"},
		"restarts":          {specOf(1, 1, onFailure), []*corev1.Pod{restarted}, "FailureTarget BackoffLimitExceeded"},
		"deadline":          {started, nil, "FailureTarget DeadlineExceeded"},
		"failed before":     {was(batchv1.JobFailureTarget), []*corev1.Pod{at("a", -1, ok, 0)}, "Failed Before"},
		"succeeded before":  {was(batchv1.JobSuccessCriteriaMet), []*corev1.Pod{at("a", -1, bad, 0)}, "SuccessCriteriaMet Before"},
		"all indexes ended": {specOf(2, 2, byIndex, func(s *batchv1.JobSpec) { s.BackoffLimitPerIndex = new(int32(0)) }), []*corev1.Pod{at("a", 0, ok, 0), at("b", 1, bad, 0)}, "FailureTarget FailedIndexes"},
	} {
		got := ""
		if l := lookAt(c.job, c.pods, failures{}, epoch.Add(100*time.Second)); l.end != nil {
			got = string(l.end.Type) + " " + l.end.Reason
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestCountInRounds counts more pods than a status may name at once, and none twice, also when a finalizer stays.
func TestCountInRounds(t *testing.T) {
	var pods []*corev1.Pod
	for i := range 1234 {
		phase := corev1.PodSucceeded
		if i%5 == 0 {
			phase = corev1.PodFailed
		}
		pods = append(pods, at(fmt.Sprint("p", i), -1, phase, 0))
	}
	l := lookAt(specOf(2000, 2000, func(s *batchv1.JobSpec) { s.BackoffLimit = new(int32(1000)) }), pods, failures{}, epoch)
	rounds, stuck := 0, types.UID("p0")
	for more := true; more; rounds++ {
		var release []*corev1.Pod
		release, more = l.count()
		u := l.job.Status.UncountedTerminatedPods
		if n := len(u.Succeeded) + len(u.Failed); n > mostUncounted {
			t.Fatalf("%d at once", n)
		}
		for _, p := range release {
			if p.UID != stuck || rounds > 0 {
				delete(l.held, p.UID)
			}
		}
		l.settle()
	}
	s := l.job.Status
	if rounds != 3 || s.Succeeded != 987 || s.Failed != 247 || len(s.UncountedTerminatedPods.Succeeded)+len(s.UncountedTerminatedPods.Failed) != 0 {
		t.Errorf("%d rounds: %d succeeded, %d failed, %+v", rounds, s.Succeeded, s.Failed, s.UncountedTerminatedPods)
	}
}

// TestMadePods says how pods are named and what they carry.
func TestMadePods(t *testing.T) {
	j := specOf(3, 3, byIndex, func(s *batchv1.JobSpec) {
		s.BackoffLimitPerIndex = new(int32(5))
		s.Template.Labels = map[string]string{"a": "b"}
		s.Template.Spec.Containers = []corev1.Container{{Name: "c"}, {Name: "d", Env: []corev1.EnvVar{{Name: indexVariable, Value: "mine"}}}}
	})
	failed := at("f", 2, corev1.PodFailed, 0)
	failed.Annotations[batchv1.JobIndexFailureCountAnnotation] = "2"
	p := lookAt(j, []*corev1.Pod{failed}, failures{}, epoch).maker().pod(2)
	env := p.Spec.Containers[0].Env
	if p.GenerateName != "j-2-" || p.Spec.Hostname != "j-2" || p.Labels["a"] != "b" || p.Labels[batchv1.JobCompletionIndexAnnotation] != "2" ||
		p.Annotations[batchv1.JobIndexFailureCountAnnotation] != "3" || !tracked(p) || len(p.OwnerReferences) != 1 || p.OwnerReferences[0].Kind != "Job" ||
		len(env) != 1 || env[0].ValueFrom.FieldRef.FieldPath != "metadata.labels['batch.kubernetes.io/job-completion-index']" || len(p.Spec.Containers[1].Env) != 1 {
		t.Errorf("%+v", p)
	}
	if len(j.Spec.Template.Labels) != 1 || len(j.Spec.Template.Spec.Containers[0].Env) != 0 {
		t.Error("the template was changed")
	}
	long := strings.Repeat("x", 63)
	if got := indexPrefix(long, "12"); got != long[:54]+"-12-" {
		t.Error(got)
	}
}
