package control_test

import (
	"fmt"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Job's pod costs two writes: it is made, and let go when it is counted. Of the status there are far fewer than pods, for what
// happens within a tenth of a second is counted together.
func TestWritesOfJobs(t *testing.T) {
	inBubble(t, control.Config{Controllers: []string{"serviceaccount-controller"}}, func(b *bench) {
		const pods, together = 500, 50
		b.addStillNodes(50)
		b.fates(func(*corev1.Pod) fate { return fate{after: time.Second} })
		b.settle(time.Second)
		jobs := &doom{account: "job-controller", at: -1}
		b.managed(jobs, "")
		b.makeJob(jobOf("sum", func(s *batchv1.JobSpec) {
			all, few := int32(pods), int32(together)
			s.Completions, s.Parallelism = &all, &few
		}))
		b.await("job", time.Hour, func() bool { return b.job("sum").Status.CompletionTime != nil })
		b.settle(time.Minute)
		t.Logf("a Job of %d, %d at a time: %v", pods, together, jobs.counts())
		if c := jobs.counts(); c["create pods"] != pods || c["patch pods"] != pods || c["update jobs/status"] > pods/5 || len(c) != 3 {
			t.Errorf("writes for %d pods: %v", pods, c)
		}
		before := len(jobs.writes)
		b.settle(20 * time.Minute)
		if n := len(jobs.writes); n != before {
			t.Errorf("%d writes while nothing happens", n-before)
		}
	})
}

// What goes with its owner costs the collector one write, whatever else hangs on it.
func TestWritesOfTheCollector(t *testing.T) {
	inBubble(t, control.Config{Controllers: []string{"serviceaccount-controller"}}, func(b *bench) {
		const middle, leaves = 10, 300
		b.settle(time.Second)
		collector := &doom{account: "generic-garbage-collector", at: -1}
		b.managed(collector, "")
		add := func(name string, owner *corev1.ConfigMap) *corev1.ConfigMap {
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
			if owner != nil {
				cm.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}}
			}
			out, err := client.Create(b.Context(), b.door, client.ConfigMaps, cm)
			if err != nil {
				b.Fatal(err)
			}
			return out
		}
		root := add("root", nil)
		for i := range middle {
			of := add(fmt.Sprint("middle-", i), root)
			for j := range leaves / middle {
				add(fmt.Sprintf("leaf-%d-%d", i, j), of)
			}
		}
		b.settle(time.Minute)
		if c := collector.counts(); len(c) > 0 {
			t.Errorf("writes while all have their owners: %v", c)
		}
		if err := client.Delete(b.Context(), b.door, client.ConfigMaps, "default", "root", root.UID); err != nil {
			b.Fatal(err)
		}
		b.await("the cascade", time.Hour, func() bool {
			l, err := b.door.List(b.Context(), client.Ref{Resource: client.ConfigMaps, Namespace: "default"}, metav1.ListOptions{})
			if err != nil {
				b.Fatal(err)
			}
			for _, cm := range l.Items {
				if len(cm.GetOwnerReferences()) > 0 {
					return false
				}
			}
			return true
		})
		b.settle(time.Minute)
		if c := collector.counts(); c["delete configmaps"] != middle+leaves || len(c) != 1 {
			t.Errorf("writes for %d objects: %v", middle+leaves, c)
		}
	})
}
