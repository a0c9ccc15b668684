package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// What happens to pods shows under upstream's names.
func TestMetricsTellWhatHappened(t *testing.T) {
	s := &Scheduler{queue: newQueue(), tally: newTally(), snapshot: newSnapshot(defaultProfile())}
	s.snapshot.setNode("n", testNode("n", "4", "4Gi"))
	now := testStart
	queued(s.queue, now, "p")
	queued(s.queue, now, "gated", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} })
	w := s.queue.pop(now)
	s.tally.ended("default-scheduler", "unschedulable", w.began, now.Add(5*time.Millisecond))
	s.queue.returned(w, outcome{}, now)
	s.queue.retry(w.pod.UID, now)
	w = s.queue.pop(now)
	s.tally.ended("default-scheduler", "scheduled", w.began, now.Add(3*time.Millisecond))
	s.tally.bound(w, now.Add(30*time.Millisecond))
	s.snapshot.addPod("n", w.pod)
	var b strings.Builder
	s.measure(&b)
	for _, want := range []string{
		`scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 1`,
		`scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1`,
		`scheduler_scheduling_attempt_duration_seconds_bucket{profile="default-scheduler",result="scheduled",le="0.002"} 0`,
		`scheduler_scheduling_attempt_duration_seconds_bucket{profile="default-scheduler",result="scheduled",le="0.004"} 1`,
		`scheduler_scheduling_attempt_duration_seconds_count{profile="default-scheduler",result="unschedulable"} 1`,
		`scheduler_pod_scheduling_sli_duration_seconds_count{attempts="2"} 1`,
		`scheduler_pod_scheduling_attempts_sum 2`,
		`scheduler_pending_pods{queue="active"} 0`,
		`scheduler_pending_pods{queue="gated"} 1`,
		`scheduler_queue_incoming_pods_total{event="PodAdd",queue="active"} 1`,
		`scheduler_queue_incoming_pods_total{event="ScheduleAttemptFailure",queue="unschedulable"} 1`,
		`scheduler_cache_size{type="assumed_pods"} 1`,
		`scheduler_cache_size{type="nodes"} 1`,
		"# TYPE scheduler_preemption_victims histogram",
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

// The pods of a gang count where its turn is.
func TestMetricsOfGangs(t *testing.T) {
	s := &Scheduler{queue: newQueue(), tally: newTally(), snapshot: newSnapshot(defaultProfile())}
	s.queue.gangs = map[gangKey]*gang{}
	key, now := gangKey{"default", "g"}, testStart
	expect := func(when, part string, n int) {
		t.Helper()
		var b strings.Builder
		s.measure(&b)
		if want := fmt.Sprintf("scheduler_pending_pods{queue=%q} %d\n", part, n); !strings.Contains(b.String(), want) {
			t.Errorf("%s: no %s in\n%s", when, want, b.String())
		}
	}
	queued(s.queue, now, "a", inGroup("g"))
	expect("without its group", "incomplete", 1)
	s.queue.setGroup(key, podGroup("g", 2), now)
	expect("without a second pod", "gated", 1)
	queued(s.queue, now, "b", inGroup("g"))
	expect("when it is ready", "active", 2)
	w := s.queue.pop(now)
	s.queue.turned(w.turnOf, outcome{by: []plugin.Rejecting{plugin.NewFit(plugin.Strategy{})}}, now)
	expect("when it was rejected", "unschedulable", 2)
}

// A pod that several plugins keep from the nodes counts for each of them, until it is tried again.
func TestMetricsTellWhatKeepsPods(t *testing.T) {
	s := &Scheduler{queue: newQueue(), tally: newTally(), snapshot: newSnapshot(defaultProfile())}
	kept := func() (lines []string) {
		var b strings.Builder
		s.measure(&b)
		for line := range strings.Lines(b.String()) {
			if strings.HasPrefix(line, "scheduler_unschedulable_pods{") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return lines
	}
	queued(s.queue, testStart, "a")
	queued(s.queue, testStart, "b")
	queued(s.queue, testStart, "tainted")
	for range 2 {
		s.queue.returned(s.queue.pop(testStart), outcome{by: []plugin.Rejecting{plugin.Fit{}}}, testStart)
	}
	last := s.queue.pop(testStart)
	s.queue.returned(last, outcome{by: []plugin.Rejecting{plugin.TaintToleration{}, plugin.Fit{}}}, testStart)
	want := []string{
		`scheduler_unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"} 3`,
		`scheduler_unschedulable_pods{plugin="TaintToleration",profile="default-scheduler"} 1`,
	}
	if got := kept(); !slices.Equal(got, want) {
		t.Errorf("kept: %q, want %q", got, want)
	}
	s.queue.retry(last.pod.UID, testStart)
	if got, want := kept(), []string{`scheduler_unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"} 2`}; !slices.Equal(got, want) {
		t.Errorf("kept after one is tried again: %q, want %q", got, want)
	}
}
