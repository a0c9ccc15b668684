package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestCronJobs has Jobs made by the minute, ended ones deleted, and those with a time to live too.
func TestCronJobs(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		b.settle(time.Second)
		b.fates(func(*corev1.Pod) fate { return fate{after: 5 * time.Second} })
		c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c"}}
		c.Spec.Schedule, c.Spec.SuccessfulJobsHistoryLimit = "*/1 * * * *", new(int32(2))
		c.Spec.JobTemplate.Spec = jobOf("x", nil).Spec
		if _, err := client.Create(b.Context(), b.door, client.CronJobs, c); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		b.settle(5*time.Minute + 30*time.Second)
		jobs, err := client.ListAll[*batchv1.Job](b.Context(), b.door, client.Jobs, "default", metav1.ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		var names []string
		for _, j := range jobs {
			names = append(names, j.Name)
		}
		minute := began.Unix()/60 + 5
		if got, want := strings.Join(names, " "), fmt.Sprintf("c-%d c-%d", minute-1, minute); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		now, err := client.Get[*batchv1.CronJob](b.Context(), b.door, client.CronJobs, "default", "c")
		if err != nil {
			b.Fatal(err)
		}
		if s := now.Status; len(s.Active) != 0 || s.LastScheduleTime == nil || s.LastScheduleTime.Unix() != minute*60 || s.LastSuccessfulTime == nil {
			t.Errorf("%+v", s)
		}
		if n := b.createdPods(); n != 5 {
			t.Errorf("%d pods in five minutes", n)
		}
		b.hasEvent("default", "cronjob-controller Normal SawCompletedJob: Saw completed job: c-")
		b.hasEvent("default", "cronjob-controller Normal SuccessfulDelete: Deleted job c-")
		b.makeJob(jobOf("short", func(s *batchv1.JobSpec) { s.TTLSecondsAfterFinished = new(int32(20)) }))
		b.settle(15 * time.Second)
		if j := b.job("short"); j.Status.Succeeded != 1 {
			t.Errorf("%+v", j.Status)
		}
		b.settle(30 * time.Second)
		if left := b.podsOf("default", func(p *corev1.Pod) bool { return p.Labels["job-name"] == "short" }); len(left) > 0 || b.found(client.Ref{Resource: client.Jobs, Namespace: "default", Name: "short"}) != nil {
			t.Errorf("a Job with a time to live and its %d pods are still there", len(left))
		}
	})
}
