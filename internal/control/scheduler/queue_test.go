package scheduler

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

func queued(q *queue, now time.Time, name string, change ...func(*corev1.Pod)) {
	q.set(defaultProfile().newPod(testPod(name, "100m", "", change...)), now)
}

func prio(n int32) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.Priority = &n } }

func TestQueueOrder(t *testing.T) {
	q, now := newQueue(), time.Unix(0, 0)
	queued(q, now, "first")
	queued(q, now.Add(time.Second), "second")
	queued(q, now.Add(2*time.Second), "urgent", prio(10))
	queued(q, now, "gated", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} })
	for _, want := range []string{"urgent", "first", "second"} {
		if w := q.pop(now); w == nil || w.pod.Name != want {
			t.Fatalf("got %v, want %s", w, want)
		}
	}
	if w := q.pop(now); w != nil {
		t.Fatalf("a gated pod came out: %s", w.pod.Name)
	}
	queued(q, now, "gated")
	if w := q.pop(now); w == nil || w.pod.Name != "gated" {
		t.Fatal("the pod did not come out when its gate went")
	}
}

func TestQueueWaitsForWhatHelps(t *testing.T) {
	q, now := newQueue(), time.Unix(0, 0)
	s := newSnapshot()
	s.setNode("n", testNode("n", "50m", "1Gi"))
	queued(q, now, "p")
	w := q.pop(now)
	q.returned(w, defaultProfile().cycle(w.pod, s, nil), now)
	now = now.Add(time.Minute)

	// A label helps nothing that lacks CPU.
	before, after := s.setNode("n", testNode("n", "50m", "1Gi", label("a", "b")))
	q.changed(plugin.Change{Event: plugin.NodeChanged, Node: after, Old: before}, now)
	if q.pop(now) != nil {
		t.Fatal("tried again after a change that cannot help")
	}
	before, after = s.setNode("n", testNode("n", "150m", "1Gi"))
	q.changed(plugin.Change{Event: plugin.NodeChanged, Node: after, Old: before}, now)
	if q.pop(now) == nil {
		t.Fatal("not tried again after a change that helps")
	}
}

func TestQueueBacksOff(t *testing.T) {
	q, now := newQueue(), time.Unix(0, 0)
	queued(q, now, "p")
	for i, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		w := q.pop(now)
		if w == nil {
			t.Fatalf("attempt %d: nothing to try", i)
		}
		q.failed(w, now)
		if q.pop(now) != nil {
			t.Fatalf("attempt %d: no backoff", i)
		}
		if got := q.next().Sub(now); got != want*time.Second {
			t.Fatalf("attempt %d: backoff %v, want %vs", i, got, want)
		}
		now = q.next()
	}
}

// A pod that has been held back comes before its time when nothing else is to be tried, the important before the less important that
// are due in the same second; while something else is, it waits.
func TestNobodyIsHeldBackForNobody(t *testing.T) {
	q, now := newQueue(), time.Unix(100, 0)
	s := newSnapshot()
	before, after := newSnapshot().setNode("n", testNode("n", "1", "1Gi"))
	queued(q, now, "p")
	queued(q, now, "urgent", prio(10))
	for range freeAttempts + 1 {
		for range 2 {
			w := q.pop(now)
			q.returned(w, defaultProfile().cycle(w.pod, s, nil), now)
			now = now.Add(time.Millisecond)
		}
		q.changed(plugin.Change{Event: plugin.NodeAdded, Node: after, Old: before}, now)
	}
	if n := q.backoffQ.Len(); n != 2 {
		t.Fatalf("%d pods held back, want 2", n)
	}
	queued(q, now, "fresh")
	for _, want := range []string{"fresh", "urgent", "p"} {
		if w := q.pop(now); w == nil || w.pod.Name != want {
			t.Fatalf("got %v, want %s", w, want)
		}
	}
	if n := q.incoming[entrance{"active", "PopFromBackoffQ"}]; n != 2 {
		t.Errorf("%d counted as taken before their time, want 2", n)
	}
}

// A pod that found no node twice is tried at once when something helps; after that it waits longer and longer, if there are others.
func TestFirstReturnsAreFree(t *testing.T) {
	q, now := newQueue(), time.Unix(0, 0)
	s := newSnapshot()
	queued(q, now, "p")
	for i, want := range []time.Duration{0, 0, 1, 2, 4} {
		w := q.pop(now)
		if w == nil {
			t.Fatalf("attempt %d: nothing to try", i)
		}
		q.returned(w, defaultProfile().cycle(w.pod, s, nil), now)
		if q.pop(now) != nil {
			t.Fatalf("attempt %d: tried again though nothing has changed", i)
		}
		before, after := newSnapshot().setNode("n", testNode("n", "1", "1Gi"))
		q.changed(plugin.Change{Event: plugin.NodeAdded, Node: after, Old: before}, now)
		if got := w.readyAt().Sub(now); got != want*time.Second {
			t.Fatalf("attempt %d: wait %v, want %vs", i, got, want)
		}
		now = w.readyAt()
	}
}

func TestChangeDuringACycleIsNotMissed(t *testing.T) {
	q, now := newQueue(), time.Unix(0, 0)
	s := newSnapshot()
	s.setNode("n", testNode("n", "50m", "1Gi"))
	queued(q, now, "p")
	w := q.pop(now)
	out := defaultProfile().cycle(w.pod, s, nil)
	before, after := s.setNode("n", testNode("n", "150m", "1Gi"))
	q.changed(plugin.Change{Event: plugin.NodeChanged, Node: after, Old: before}, now)
	q.returned(w, out, now)
	if w.state != inActiveQ {
		t.Fatalf("state %v: the change that came meanwhile was missed", w.state)
	}
}

func TestUnschedulablePodIsTriedAgainInTheEnd(t *testing.T) {
	q, now := newQueue(), time.Unix(0, 0)
	s := newSnapshot()
	s.setNode("n", testNode("n", "50m", "1Gi"))
	queued(q, now, "p")
	w := q.pop(now)
	q.returned(w, defaultProfile().cycle(w.pod, s, nil), now)
	if got := q.next().Sub(now); got != longestWait {
		t.Fatalf("next try in %v, want %v", got, longestWait)
	}
	q.flush(now.Add(longestWait))
	if q.pop(now.Add(longestWait)) == nil {
		t.Fatal("never tried again")
	}
}

var testStart = time.Unix(0, 0)

// Pods that wait for the same thing are all tried again when it comes, others are not.
func TestWhatHelpsOneHelpsAllAlike(t *testing.T) {
	q, now := newQueue(), testStart
	p := defaultProfile()
	s, alike := newSnapshot(p), newRankings(p)
	s.setNode("n", testNode("n", "50m", "1Gi"))
	for _, name := range []string{"a", "b", "c"} {
		queued(q, now, name)
	}
	queued(q, now, "elsewhere", selector("disk", "ssd"))
	for range 4 {
		w := q.pop(now)
		q.returned(w, alike.place(w.pod, s, nil), now)
	}
	now = now.Add(time.Minute)
	before, after := s.setNode("n", testNode("n", "150m", "1Gi"))
	q.changed(plugin.Change{Event: plugin.NodeChanged, Node: after, Old: before}, now)
	got := map[string]bool{}
	for w := q.pop(now); w != nil; w = q.pop(now) {
		got[w.pod.Name] = true
	}
	if len(got) != 3 || got["elsewhere"] {
		t.Fatalf("tried again: %v", got)
	}
}
