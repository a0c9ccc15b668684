package control_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// jobsNow says what has come of all Jobs and their pods.
func (b *bench) jobsNow() string {
	b.Helper()
	jobs, err := client.ListAll[*batchv1.Job](b.Context(), b.door, client.Jobs, "default", metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, j := range jobs {
		out = append(out, fmt.Sprintf("%s: %s, uncounted %d", j.Name, told(j), len(j.Status.UncountedTerminatedPods.Succeeded)+len(j.Status.UncountedTerminatedPods.Failed)))
	}
	phases := map[string]int{}
	for _, p := range b.podsOf("default", nil) {
		phases[fmt.Sprintf("%s %v", p.Status.Phase, p.Finalizers)]++
	}
	return fmt.Sprintf("%s; pods: %v of %d", strings.Join(out, "; "), phases, b.createdPods())
}

// TestJobCrashes: no pod is counted twice, lost, or made twice, at whatever write the controller dies.
func TestJobCrashes(t *testing.T) {
	first := func(b *bench) func(*corev1.Pod) fate { // the first two pods of a Job fail
		failed := map[string][]types.UID{}
		var mu sync.Mutex
		return func(p *corev1.Pod) fate {
			mu.Lock()
			defer mu.Unlock()
			job := p.Labels[batchv1.JobNameLabel]
			if len(failed[job]) < 2 && !slices.Contains(failed[job], p.UID) {
				failed[job] = append(failed[job], p.UID)
			}
			if slices.Contains(failed[job], p.UID) {
				return fate{time.Second, 1}
			}
			return fate{after: time.Second}
		}
	}
	for name, c := range map[string]struct {
		spec  func(s *batchv1.JobSpec)
		after func(b *bench)
	}{
		"several": {func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = new(int32(5)), new(int32(3)) }, nil},
		"indexed": {func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions, s.Parallelism, s.BackoffLimitPerIndex = new(batchv1.IndexedCompletion), new(int32(3)), new(int32(2)), new(int32(1))
		}, nil},
		"failing": {func(s *batchv1.JobSpec) {
			s.Completions, s.Parallelism, s.BackoffLimit = new(int32(3)), new(int32(3)), new(int32(0))
		}, nil},
		"suspended": {func(s *batchv1.JobSpec) { s.Parallelism = new(int32(2)) }, func(b *bench) { b.patchJob("j", `{"spec":{"suspend":true}}`) }},
	} {
		t.Run(name, func(t *testing.T) {
			crashes(t, "job-controller", []string{"job-controller"}, []string{"n0"}, func(b *bench) string {
				b.fates(first(b))
				if name == "suspended" {
					b.fates(nil)
				}
				b.makeJob(jobOf("j", c.spec))
				if c.after != nil {
					b.settle(10 * time.Second)
					c.after(b)
				}
				b.settle(5 * time.Minute)
				return b.jobsNow()
			})
		})
	}
}

// TestCronJobCrashes: a Job is made once for each minute.
func TestCronJobCrashes(t *testing.T) {
	crashes(t, "cronjob-controller", []string{"cronjob-controller", "job-controller"}, []string{"n0"}, func(b *bench) string {
		b.fates(func(*corev1.Pod) fate { return fate{after: time.Second} })
		c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c"}}
		c.Spec.Schedule, c.Spec.SuccessfulJobsHistoryLimit = "*/1 * * * *", new(int32(2))
		c.Spec.JobTemplate.Spec = jobOf("x", nil).Spec
		if _, err := client.Create(b.Context(), b.door, client.CronJobs, c); err != nil {
			b.Fatal(err)
		}
		b.settle(3*time.Minute + 30*time.Second)
		return b.jobsNow()
	})
}

// TestLateViewsCountNothingTwice: however late the view is, pods are neither made nor counted twice.
func TestLateViewsCountNothingTwice(t *testing.T) {
	for _, by := range []time.Duration{10 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second} {
		t.Run(by.String(), func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				b.addNode("n0", nil)
				b.settle(10 * time.Second)
				b.fates(func(*corev1.Pod) fate { return fate{after: time.Second} })
				b.makeJob(jobOf("j", func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = new(int32(20)), new(int32(6)) }))
				b.settle(3 * time.Minute)
				want := "SuccessCriteriaMet/CompletionsReached, Complete/CompletionsReached, active 0 succeeded 20 failed 0"
				if got := told(b.job("j")); got != want || b.createdPods() != 20 {
					t.Errorf("%s, %d pods", got, b.createdPods())
				}
			}, late("shared-informers", by))
		})
	}
}

// TestCostOfAJob counts what a Job of five thousand pods writes: each pod once to be made and once to be let go, and the status
// about once for each five hundred of them.
func TestCostOfAJob(t *testing.T) {
	const n = 5000
	d := &doom{account: "job-controller", at: -1}
	inBubble(t, control.Config{Controllers: []string{"job-controller"}}, func(b *bench) {
		b.makeJob(jobOf("j", func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = new(int32(n)), new(int32(n)) }))
		b.settle(time.Minute)
		for _, p := range b.podsOf("default", nil) {
			p = p.DeepCopy()
			p.Status.Phase = corev1.PodSucceeded
			if _, err := client.UpdateStatus(b.Context(), b.door, client.Pods, p); err != nil {
				b.Fatal(err)
			}
		}
		b.settle(time.Minute)
		if got := told(b.job("j")); !strings.Contains(got, "Complete/") || !strings.Contains(got, "succeeded 5000") {
			t.Error(got)
		}
	}, d.doors)
	w := d.counts()
	t.Log(w)
	if w["create pods"] != n || w["patch pods"] != n || w["update jobs/status"] > 20 {
		t.Errorf("%v", w)
	}
}

// TestJobsAreSetRight has somebody else change what the controller keeps.
func TestJobsAreSetRight(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		b.settle(time.Second)
		b.makeJob(jobOf("j", func(s *batchv1.JobSpec) { s.Parallelism, s.Completions = new(int32(2)), new(int32(2)) }))
		b.settle(10 * time.Second)
		ref := client.Ref{Resource: client.Jobs, Namespace: "default", Name: "j", Subresource: "status"}
		if _, err := b.door.Patch(b.Context(), ref, types.MergePatchType, []byte(`{"status":{"active":0,"ready":0}}`), metav1.PatchOptions{}); err != nil {
			b.Fatal(err)
		}
		b.settle(5 * time.Second)
		if s := b.job("j").Status; s.Active != 2 || *s.Ready != 2 {
			t.Errorf("%+v", s)
		}
		p := b.podsOf("default", nil)[0]
		if err := client.Delete(b.Context(), b.door, client.Pods, "default", p.Name, ""); err != nil {
			b.Fatal(err)
		}
		b.settle(30 * time.Second)
		if s := b.job("j").Status; s.Active != 2 || s.Failed != 1 || len(b.podsOf("default", running)) != 2 {
			t.Errorf("%+v", s)
		}
		background := metav1.DeletePropagationBackground
		if err := b.door.Delete(b.Context(), client.Ref{Resource: client.Jobs, Namespace: "default", Name: "j"}, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
			b.Fatal(err)
		}
		b.settle(30 * time.Second)
		if left := b.podsOf("default", nil); len(left) > 0 {
			t.Errorf("%d pods are left of a Job that is gone", len(left))
		}
	})
}
