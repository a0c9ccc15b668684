package scheduler

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

func TestProgress(t *testing.T) {
	for _, c := range []struct {
		progress
		want string
	}{
		{progress{4, 0, 4}, ""},
		{progress{4, 3, 1}, ""},
		{progress{4, 4, 0}, ""},
		{progress{1, 5, 0}, ""},
		{progress{4, 3, 0}, "minCount (4) cannot be satisfied: 3 scheduled, 0 remaining"},
		{progress{4, 1, 2}, "minCount (4) cannot be satisfied: 1 scheduled, 2 remaining"},
	} {
		if got := c.hopeless(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.progress, got, c.want)
		}
	}
}

func inGroup(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &name} }
}

func podGroup(name string, least int32) *schedulingv1alpha3.PodGroup {
	g := &schedulingv1alpha3.PodGroup{}
	g.Namespace, g.Name = "default", name
	g.Spec.SchedulingPolicy.Gang = &schedulingv1alpha3.GangSchedulingPolicy{MinCount: least}
	return g
}

func TestGangCheck(t *testing.T) {
	never := corev1.PreemptNever
	for want, change := range map[string]func(*corev1.Pod){
		"": func(*corev1.Pod) {},
		`all pods in a single pod group should have the same .spec.schedulerName set, got: "other" and "default-scheduler"`: func(p *corev1.Pod) { p.Spec.SchedulerName = "other" },
		"all pods in a single pod group should have the same priority as the pod group's priority, got 7 and 0":             prio(7),
		"all pods in a single pod group should have the same preemption policy, got Never and PreemptLowerPriority":         func(p *corev1.Pod) { p.Spec.PreemptionPolicy = &never },
	} {
		g := &gang{group: podGroup("g", 2)}
		err := g.check([]*plugin.Pod{plugin.NewPod(testPod("a", "1", "")), plugin.NewPod(testPod("b", "1", "", change))})
		if got := fmt.Sprint(err); got != want && (err != nil || want != "") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A gang comes out as one, and only when its group is there, none of its pods has gates, and there are enough with those on nodes.
func TestGangWaitsForItsPods(t *testing.T) {
	key := gangKey{"default", "g"}
	for _, c := range []struct {
		name string
		do   func(q *queue, s *snapshot, now time.Time)
		want int // pods in the turn; 0: there is none
	}{
		{"no group", func(q *queue, s *snapshot, now time.Time) { queued(q, now, "a", inGroup("g")) }, 0},
		{"too few", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 2), now)
			queued(q, now, "a", inGroup("g"))
		}, 0},
		{"the last pod", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 2), now)
			queued(q, now, "a", inGroup("g"))
			queued(q, now, "b", inGroup("g"))
		}, 2},
		{"the group last", func(q *queue, s *snapshot, now time.Time) {
			queued(q, now, "a", inGroup("g"))
			queued(q, now, "b", inGroup("g"))
			q.setGroup(key, podGroup("g", 2), now)
		}, 2},
		{"another group's", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 2), now)
			queued(q, now, "a", inGroup("g"))
			queued(q, now, "b", inGroup("h"))
		}, 0},
		{"fewer are asked for", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 2), now)
			queued(q, now, "a", inGroup("g"))
			q.setGroup(key, podGroup("g", 1), now)
		}, 1},
		{"one has a node", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 2), now)
			queued(q, now, "a", inGroup("g"))
			s.addPod("n", plugin.NewPod(testPod("b", "1", "n", inGroup("g"))))
		}, 1},
		{"one with a node goes", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 2), now)
			queued(q, now, "a", inGroup("g"))
			b := plugin.NewPod(testPod("b", "1", "n", inGroup("g")))
			s.addPod("n", b)
			s.removePod(b.UID)
		}, 0},
		{"one goes", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 2), now)
			queued(q, now, "a", inGroup("g"))
			queued(q, now, "b", inGroup("g"))
			q.remove(testPod("b", "1", "").UID)
		}, 0},
		{"the group goes", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 2), now)
			queued(q, now, "a", inGroup("g"))
			queued(q, now, "b", inGroup("g"))
			q.setGroup(key, nil, now)
		}, 0},
		{"a gate", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 1), now)
			queued(q, now, "a", inGroup("g"))
			queued(q, now, "b", inGroup("g"), func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} })
		}, 0},
		{"the gate goes", func(q *queue, s *snapshot, now time.Time) {
			q.setGroup(key, podGroup("g", 1), now)
			queued(q, now, "a", inGroup("g"))
			queued(q, now, "b", inGroup("g"), func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} })
			queued(q, now, "b", inGroup("g"))
		}, 2},
	} {
		q, s, now := newQueue(), newSnapshot(), time.Unix(0, 0)
		q.gangs = map[gangKey]*gang{}
		s.indexes = append(s.indexes, gangIndex{q})
		c.do(q, s, now)
		w := q.pop(now)
		switch {
		case w == nil && c.want == 0:
		case w == nil || w.turnOf == nil || c.want == 0:
			t.Errorf("%s: came out %v", c.name, w)
		case len(w.turnOf.loose()) != c.want:
			t.Errorf("%s: %d pods in the turn, want %d", c.name, len(w.turnOf.loose()), c.want)
		}
		if q.pop(now) != nil {
			t.Errorf("%s: something else came out", c.name)
		}
	}
}

// A gang that found too little room comes back when something helps one of its pods, when a pod joins it, or when it asks for less.
func TestGangWaitsForWhatHelps(t *testing.T) {
	key := gangKey{"default", "g"}
	for name, c := range map[string]struct {
		do   func(q *queue, s *snapshot, now time.Time)
		want bool
	}{
		"nothing": {func(*queue, *snapshot, time.Time) {}, false},
		"a label": {func(q *queue, s *snapshot, now time.Time) {
			before, after := s.setNode("m", testNode("m", "50m", "1Gi", label("a", "b")))
			q.changed(plugin.Change{Event: plugin.NodeLabel, Node: after, Old: before}, now)
		}, false},
		"room": {func(q *queue, s *snapshot, now time.Time) {
			before, after := s.setNode("n", testNode("n", "250m", "1Gi"))
			q.changed(plugin.Change{Event: plugin.NodeChanged, Node: after, Old: before}, now)
		}, true},
		"a pod": {func(q *queue, s *snapshot, now time.Time) { queued(q, now, "c", inGroup("g")) }, true},
		"fewer": {func(q *queue, s *snapshot, now time.Time) { q.setGroup(key, podGroup("g", 1), now) }, true},
		"more":  {func(q *queue, s *snapshot, now time.Time) { q.setGroup(key, podGroup("g", 3), now) }, false},
		"time":  {func(q *queue, s *snapshot, now time.Time) { q.flush(now.Add(longestWait)) }, true},
	} {
		q, s, now := newQueue(), newSnapshot(), time.Unix(0, 0)
		q.gangs = map[gangKey]*gang{}
		s.setNode("n", testNode("n", "150m", "1Gi"))
		s.setNode("m", testNode("m", "50m", "1Gi"))
		q.setGroup(key, podGroup("g", 2), now)
		queued(q, now, "a", inGroup("g"))
		queued(q, now, "b", inGroup("g"))
		w := q.pop(now)
		full := s.byName["n"].WithPod(plugin.NewPod(testPod("a", "100m", "n")))
		_, v := defaultProfile().filter(w.pod, full)
		if v.Fits() {
			t.Fatal("the node has room for both")
		}
		by, _ := defaultProfile().filter(w.pod, full)
		q.turned(w.turnOf, outcome{by: []plugin.Rejecting{by}}, now)
		c.do(q, s, now.Add(time.Minute))
		if got := q.pop(now.Add(2*time.Minute)) != nil; got != c.want {
			t.Errorf("%s: tried again %v, want %v", name, got, c.want)
		}
	}
}

// With the feature off nobody looks at what group a pod names.
func TestGangsOff(t *testing.T) {
	q, now := newQueue(), time.Unix(0, 0)
	queued(q, now, "a", inGroup("g"))
	if w := q.pop(now); w == nil || w.turnOf != nil || w.pod.UID == types.UID("") {
		t.Errorf("came out %v", w)
	}
}
