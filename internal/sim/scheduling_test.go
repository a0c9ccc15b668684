package sim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/testkit"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The scheduler says what it did as upstream's does: an event of events.k8s.io with the action and the time, and nothing about
// a gated pod, whose condition has been there since it was created.
func TestWhatTheSchedulerWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testkit.Start(t)
		ctx := t.Context()
		pod := func(name string, change func(*corev1.PodSpec)) *corev1.Pod {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
			change(&p.Spec)
			made, err := client.Create(ctx, c.Door, client.Pods, p)
			if err != nil {
				t.Fatal(err)
			}
			return made
		}
		time.Sleep(time.Second)
		gated := pod("gated", func(s *corev1.PodSpec) { s.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/gate"}} })
		pod("waits", func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"no": "where"} })
		time.Sleep(time.Minute)
		now, err := client.Get[*corev1.Pod](ctx, c.Door, client.Pods, "default", "gated")
		if err != nil || now.ResourceVersion != gated.ResourceVersion || len(now.Status.Conditions) != 1 || now.Status.Conditions[0].Reason != corev1.PodReasonSchedulingGated {
			t.Errorf("%v: written at %s, now at %s, %v", err, gated.ResourceVersion, now.ResourceVersion, now.Status.Conditions)
		}
		events, err := client.ListAll[*eventsv1.Event](ctx, c.Door, client.SeriesEvents, "default", metav1.ListOptions{})
		if err != nil || len(events) != 1 {
			t.Fatalf("%v %v", err, events)
		}
		e := events[0]
		if e.Reason != "FailedScheduling" || e.Action != "Scheduling" || e.EventTime.IsZero() || e.ReportingController != "default-scheduler" ||
			e.ReportingInstance != "default-scheduler-testkit" || e.Regarding.Name != "waits" || e.DeprecatedCount != 0 || !e.DeprecatedFirstTimestamp.IsZero() {
			t.Errorf("%+v", e)
		}
	})
}
