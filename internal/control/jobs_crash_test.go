package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// deaths is what kills a controller at one of its writes, events left out.
type deaths struct {
	account string // whose writes count
	at      int    // the write at which it dies; 0: never
	after   bool   // it dies once the write is made, and not before
	die     func()

	mu   sync.Mutex
	done []string // the writes so far
}

// write makes a write, unless that is the one that is not to be.
func (d *deaths) write(verb string, ref client.Ref, do func() (runtime.Object, error)) (runtime.Object, error) {
	if ref.Resource.Resource == "events" {
		return do()
	}
	d.mu.Lock()
	d.done = append(d.done, strings.TrimSuffix(verb+" "+ref.Resource.Resource+"/"+ref.Subresource, "/"))
	n := len(d.done)
	d.mu.Unlock()
	switch {
	case d.at == 0 || n < d.at:
		return do()
	case n == d.at && d.after:
		_, _ = do()
	}
	d.die()
	return nil, context.Canceled
}

func (d *deaths) doors(f client.Factory) client.Factory {
	return func(user api.User, agent string) client.Interface {
		door := f(user, agent)
		if !strings.HasSuffix(user.Name, ":"+d.account) {
			return door
		}
		return &doomed{door, d}
	}
}

// doomed is a door of a controller that may die.
type doomed struct {
	client.Interface
	d *deaths
}

func (x *doomed) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	return x.d.write("create", ref, func() (runtime.Object, error) { return x.Interface.Create(ctx, ref, obj, opts) })
}

func (x *doomed) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	return x.d.write("update", ref, func() (runtime.Object, error) { return x.Interface.Update(ctx, ref, obj, opts) })
}

func (x *doomed) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	return x.d.write("patch", ref, func() (runtime.Object, error) { return x.Interface.Patch(ctx, ref, pt, data, opts) })
}

func (x *doomed) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	_, err := x.d.write("delete", ref, func() (runtime.Object, error) { return nil, x.Interface.Delete(ctx, ref, opts) })
	return err
}

// untilDeath runs a manager of some controllers until it dies, and then another, until the test ends.
func (b *bench) untilDeath(d *deaths, controllers ...string) {
	run := func(ctx context.Context, doors client.Factory) {
		m, err := control.New(control.Config{Kinds: all.Kinds(), Log: slog.New(slog.DiscardHandler), Controllers: controllers, Doors: doors})
		if err != nil {
			b.Error(err)
			return
		}
		if err := m.Run(ctx); err != nil {
			b.Error(err)
		}
	}
	go func() {
		first, cancel := context.WithCancel(b.Context())
		defer cancel()
		d.die = cancel
		run(first, d.doors(b.hub.Door))
		if b.Context().Err() == nil {
			run(b.Context(), b.hub.Door)
		}
	}()
}

// everyDeath runs a scenario undisturbed, and then once for each of its writes and each side of it with a controller that dies there
// and comes back. state says what has come of it, which is always to be the same.
func everyDeath(t *testing.T, account string, controllers []string, scenario func(b *bench), state func(b *bench) string) {
	once := func(at int, after bool) (got string, writes []string) {
		d := &deaths{account: account, at: at, after: after}
		inBubble(t, control.Config{Controllers: []string{"node-lifecycle-controller"}}, func(b *bench) {
			b.untilDeath(d, controllers...)
			b.addNode("n0", nil)
			b.settle(time.Second)
			scenario(b)
			got = state(b)
		})
		return got, d.done
	}
	want, writes := once(0, false)
	t.Logf("%d writes: %v; then %s", len(writes), tally(writes), want)
	if len(writes) < 5 {
		t.Fatalf("only %d writes", len(writes))
	}
	for i := range writes {
		for _, after := range []bool{false, true} {
			if got, _ := once(i+1, after); got != want {
				t.Errorf("death at write %d (%s), after it: %t:\n%s\nwant\n%s", i+1, writes[i], after, got, want)
			}
		}
	}
}

func tally(words []string) map[string]int {
	out := map[string]int{}
	for _, w := range words {
		out[w]++
	}
	return out
}

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

// TestCronJobsSurviveEveryDeath: a Job is made once for each minute.
func TestCronJobsSurviveEveryDeath(t *testing.T) {
	everyDeath(t, "cronjob-controller", []string{"cronjob-controller", "job-controller"}, func(b *bench) {
		b.fates(func(*corev1.Pod) fate { return fate{after: time.Second} })
		c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c"}}
		c.Spec.Schedule, c.Spec.SuccessfulJobsHistoryLimit = "*/1 * * * *", new(int32(2))
		c.Spec.JobTemplate.Spec = jobOf("x", nil).Spec
		if _, err := client.Create(b.Context(), b.door, client.CronJobs, c); err != nil {
			b.Fatal(err)
		}
		b.settle(3*time.Minute + 30*time.Second)
	}, (*bench).jobsNow)
}

// TestLateViewsCountNothingTwice: however late the view is, pods are neither made nor counted twice.
func TestLateViewsCountNothingTwice(t *testing.T) {
	for _, by := range []time.Duration{10 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second} {
		t.Run(by.String(), func(t *testing.T) {
			late := func(f client.Factory) client.Factory {
				return func(user api.User, agent string) client.Interface {
					door := f(user, agent)
					if strings.HasSuffix(agent, "shared-informers") {
						return &lagging{door, by}
					}
					return door
				}
			}
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
			}, late)
		})
	}
}

// TestCostOfAJob counts what a Job of five thousand pods writes: each pod once to be made and once to be let go, and the status
// about once for each five hundred of them.
func TestCostOfAJob(t *testing.T) {
	const n = 5000
	d := &deaths{account: "job-controller"}
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
	w := tally(d.done)
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
