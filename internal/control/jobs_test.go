package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func jobOf(name string, change func(s *batchv1.JobSpec)) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	j.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "busybox:1"}}}
	if change != nil {
		change(&j.Spec)
	}
	return j
}

func (b *bench) makeJob(j *batchv1.Job) {
	b.Helper()
	if _, err := client.Create(b.Context(), b.door, client.Jobs, j); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) job(name string) *batchv1.Job {
	b.Helper()
	j, err := client.Get[*batchv1.Job](b.Context(), b.door, client.Jobs, "default", name)
	if err != nil {
		b.Fatal(err)
	}
	return j
}

func (b *bench) patchJob(name, patch string) {
	b.Helper()
	ref := client.Ref{Resource: client.Jobs, Namespace: "default", Name: name}
	if _, err := b.door.Patch(b.Context(), ref, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		b.Fatal(err)
	}
}

// fates has the pods that run from now on end so.
func (b *bench) fates(f func(p *corev1.Pod) fate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.fate = f
}

// index is the completion index of a pod, "" if it has none.
func index(p *corev1.Pod) string { return p.Labels[batchv1.JobCompletionIndexAnnotation] }

// told sums a status up: the conditions that are True with their reasons, and the numbers.
func told(j *batchv1.Job) string {
	s := j.Status
	var out []string
	for _, c := range s.Conditions {
		if c.Status == corev1.ConditionTrue {
			out = append(out, fmt.Sprintf("%s/%s", c.Type, c.Reason))
		}
	}
	out = append(out, fmt.Sprintf("active %d succeeded %d failed %d", s.Active, s.Succeeded, s.Failed))
	if s.CompletedIndexes != "" {
		out = append(out, "completed "+s.CompletedIndexes)
	}
	if s.FailedIndexes != nil {
		out = append(out, "lost "+*s.FailedIndexes)
	}
	return strings.Join(out, ", ")
}

// TestJobs runs Jobs of every kind to their ends, and finds nothing left of the counting.
func TestJobs(t *testing.T) {
	succeed := func(*corev1.Pod) fate { return fate{after: time.Second} }
	fail := func(*corev1.Pod) fate { return fate{time.Second, 3} }
	failOf := func(indexes ...string) func(*corev1.Pod) fate {
		return func(p *corev1.Pod) fate {
			if slices.Contains(indexes, index(p)) {
				return fate{time.Second, 3}
			}
			return fate{after: time.Second}
		}
	}
	for name, c := range map[string]struct {
		spec   func(s *batchv1.JobSpec)
		fates  func(*corev1.Pod) fate
		within time.Duration
		want   string
		event  string
		pods   int // that were made
	}{
		"one": {nil, succeed, 5 * time.Second, "SuccessCriteriaMet/CompletionsReached, Complete/CompletionsReached, active 0 succeeded 1 failed 0", "Normal Completed: Job completed", 1},
		"several": {func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = new(int32(7)), new(int32(3)) }, succeed, 10 * time.Second,
			"SuccessCriteriaMet/CompletionsReached, Complete/CompletionsReached, active 0 succeeded 7 failed 0", "Normal SuccessfulCreate: Created pod: j-", 7},
		"any": {func(s *batchv1.JobSpec) { s.Parallelism = new(int32(3)) }, succeed, 10 * time.Second,
			"SuccessCriteriaMet/CompletionsReached, Complete/CompletionsReached, active 0 succeeded 3 failed 0", "Completed", 3},
		"failing": {func(s *batchv1.JobSpec) { s.BackoffLimit = new(int32(2)) }, fail, time.Minute,
			"FailureTarget/BackoffLimitExceeded, Failed/BackoffLimitExceeded, active 0 succeeded 0 failed 3", "Warning BackoffLimitExceeded: Job has reached the specified backoff limit", 3},
		"late": {func(s *batchv1.JobSpec) { s.ActiveDeadlineSeconds = new(int64(5)) }, nil, 10 * time.Second,
			"FailureTarget/DeadlineExceeded, Failed/DeadlineExceeded, active 0 succeeded 0 failed 1", "Warning DeadlineExceeded: Job was active longer than specified deadline", 1},
		"indexed": {func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions, s.Parallelism = new(batchv1.IndexedCompletion), new(int32(5)), new(int32(2))
		}, succeed, 20 * time.Second, "SuccessCriteriaMet/CompletionsReached, Complete/CompletionsReached, active 0 succeeded 5 failed 0, completed 0-4", "Created pod: j-4-", 5},
		"failing index": {func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions, s.Parallelism, s.BackoffLimitPerIndex = new(batchv1.IndexedCompletion), new(int32(4)), new(int32(4)), new(int32(1))
		}, failOf("1"), time.Minute, "FailureTarget/FailedIndexes, Failed/FailedIndexes, active 0 succeeded 3 failed 2, completed 0,2,3, lost 1", "Warning FailedIndexes: Job has failed indexes", 5},
		"too many failing indexes": {func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions, s.Parallelism, s.BackoffLimitPerIndex, s.MaxFailedIndexes = new(batchv1.IndexedCompletion), new(int32(4)), new(int32(2)), new(int32(0)), new(int32(1))
		}, failOf("0", "1"), time.Minute, "FailureTarget/MaxFailedIndexesExceeded, Failed/MaxFailedIndexesExceeded, active 0 succeeded 0 failed 2, lost 0,1", "Warning MaxFailedIndexesExceeded: Job has exceeded the specified maximal number of failed indexes", 2},
		"failure policy": {func(s *batchv1.JobSpec) {
			s.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: batchv1.PodFailurePolicyActionFailJob,
				OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{3}}}}}
		}, fail, 10 * time.Second, "FailureTarget/PodFailurePolicy, Failed/PodFailurePolicy, active 0 succeeded 0 failed 1",
			"failed with exit code 3 matching FailJob rule at index 0", 1},
		"success policy": {func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions, s.Parallelism = new(batchv1.IndexedCompletion), new(int32(4)), new(int32(4))
			s.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededIndexes: new("2")}}}
		}, func(p *corev1.Pod) fate {
			if index(p) == "2" {
				return fate{after: time.Second}
			}
			return fate{}
		}, 10 * time.Second, "SuccessCriteriaMet/SuccessPolicy, Complete/SuccessPolicy, active 0 succeeded 1 failed 0, completed 2", "Completed", 4},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				b.addNode("n0", nil)
				b.settle(time.Second)
				b.fates(c.fates)
				b.makeJob(jobOf("j", c.spec))
				b.settle(c.within)
				j := b.job("j")
				if got := told(j); got != c.want {
					t.Errorf("%s\nwant %s", got, c.want)
				}
				if u := j.Status.UncountedTerminatedPods; u == nil || len(u.Succeeded)+len(u.Failed) > 0 {
					t.Errorf("uncounted: %+v", u)
				}
				for _, p := range b.podsOf("default", nil) {
					if len(p.Finalizers) > 0 {
						t.Errorf("%s has %v", p.Name, p.Finalizers)
					}
				}
				if n := b.createdPods(); n != c.pods {
					t.Errorf("%d pods were made, want %d", n, c.pods)
				}
				b.hasEvent("default", c.event)
			})
		})
	}
}
