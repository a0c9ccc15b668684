package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// gangKey names a PodGroup.
type gangKey struct{ namespace, name string }

// gangOf is the group that a pod is in; ok is false for one that is in none.
func gangOf(pod *corev1.Pod) (key gangKey, ok bool) {
	g := pod.Spec.SchedulingGroup
	if g == nil || g.PodGroupName == nil {
		return gangKey{}, false
	}
	return gangKey{pod.Namespace, *g.PodGroupName}, true
}

// gang is the pods of one group. Those that wait are tried together, in the turn of the gang, which is in the queue in their place as
// soon as the PodGroup is there, all of them are without gates, and there are as many as it asks for with those that have a node.
type gang struct {
	key     gangKey
	group   *schedulingv1alpha3.PodGroup // nil: it is not there
	waits   map[types.UID]*waiting
	hasNode map[types.UID]bool // of every pod, be it assumed to be there
	turn    *waiting           // its state is 0 while the gang cannot be tried
}

// least is how many pods must have a node for any to keep the one that was found for it.
func (g *gang) least() int {
	if p := g.group.Spec.SchedulingPolicy.Gang; p != nil {
		return int(p.MinCount)
	}
	return 1
}

// placed counts the pods that have a node.
func (g *gang) placed() (n int) {
	for _, has := range g.hasNode {
		if has {
			n++
		}
	}
	return n
}

// ready reports whether the gang can be tried.
func (g *gang) ready() bool {
	if g.group == nil || len(g.hasNode) < g.least() {
		return false
	}
	loose := false
	for _, w := range g.waits {
		if w.state == gated {
			return false
		}
		loose = loose || w.state == inGang
	}
	return loose
}

// loose are the pods that are to be tried, in the order in which they are.
func (g *gang) loose() []*waiting {
	var out []*waiting
	for _, w := range g.waits {
		if w.state == inGang {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b *waiting) int {
		return cmp.Or(cmp.Compare(priority(b.pod), priority(a.pod)), a.since.Compare(b.since), cmp.Compare(a.pod.Name, b.pod.Name))
	})
	return out
}

// progress is how far the attempt at a gang has come: how many of its pods have a node, and how many may still get one.
type progress struct{ least, placed, left int }

// hopeless says, in upstream's words, why too few will get a node; "" while there may be enough.
func (p progress) hopeless() string {
	if p.placed+p.left >= p.least {
		return ""
	}
	return fmt.Sprintf("minCount (%d) cannot be satisfied: %d scheduled, %d remaining", p.least, p.placed, p.left)
}

// check holds all pods of a gang, those with a node too, to one scheduler, one preemption policy, and the priority of the group.
func (g *gang) check(pods []*plugin.Pod) error {
	if len(pods) == 0 {
		return nil
	}
	scheduler, policy, value := pods[0].Spec.SchedulerName, policyOf(pods[0]), int32(0)
	if p := g.group.Spec.Priority; p != nil {
		value = *p
	}
	for _, pod := range pods {
		if pod.Spec.SchedulerName != scheduler {
			return fmt.Errorf("all pods in a single pod group should have the same .spec.schedulerName set, got: %q and %q", pod.Spec.SchedulerName, scheduler)
		}
		if priority(pod) != value {
			return fmt.Errorf("all pods in a single pod group should have the same priority as the pod group's priority, got %d and %d", priority(pod), value)
		}
		if policyOf(pod) != policy {
			return fmt.Errorf("all pods in a single pod group should have the same preemption policy, got %v and %v", policyOf(pod), policy)
		}
	}
	return nil
}

func policyOf(pod *plugin.Pod) corev1.PreemptionPolicy {
	if pod.Spec.PreemptionPolicy == nil {
		return corev1.PreemptLowerPriority
	}
	return *pod.Spec.PreemptionPolicy
}

// helped reports whether a change may help the pod, or one pod of a gang whose turn it is: each is asked of the plugins that have
// rejected any of them, for one that goes elsewhere makes room.
func (w *waiting) helped(c plugin.Change) bool {
	if w.turnOf == nil {
		return helps(w.pod, w.why.by, c)
	}
	asked := map[string]bool{}
	for _, m := range w.turnOf.waits {
		if m.pod.Signature != "" && asked[m.pod.Signature] {
			continue
		}
		asked[m.pod.Signature] = true
		if helps(m.pod, w.why.by, c) {
			return true
		}
	}
	return false
}

// What the queue knows of gangs. The pods of one that wait are in no heap: their gang's turn is.

// gangFor returns the gang of a name, a new one if there is none.
func (q *queue) gangFor(key gangKey) *gang {
	g := q.gangs[key]
	if g == nil {
		g = &gang{key: key, waits: map[types.UID]*waiting{}, hasNode: map[types.UID]bool{}}
		g.turn = &waiting{turnOf: g}
		q.gangs[key] = g
	}
	return g
}

// join makes a new waiting pod one of its gang, if it is in one.
func (q *queue) join(w *waiting) {
	key, in := gangOf(w.pod.Pod)
	if q.gangs == nil || !in {
		return
	}
	g := q.gangFor(key)
	w.gang = g
	g.waits[w.pod.UID] = w
	if !g.hasNode[w.pod.UID] {
		g.hasNode[w.pod.UID] = false // it is one of the gang
	}
	if g.turn.since.IsZero() {
		g.turn.since = w.since
	}
}

// part takes a pod that waits no longer out of its gang.
func (q *queue) part(w *waiting) {
	g := w.gang
	if g == nil {
		return
	}
	delete(g.waits, w.pod.UID)
	if !g.hasNode[w.pod.UID] {
		delete(g.hasNode, w.pod.UID)
	}
	q.review(g, "PodDelete")
}

// gangIndex is told by the snapshot of pods that come to a node or leave it.
type gangIndex struct{ q *queue }

func (gangIndex) Name() string                                       { return "GangScheduling" }
func (gangIndex) Node(_, _ *plugin.Node)                             {}
func (gangIndex) Since(*plugin.Pod, uint64) ([]string, uint64, bool) { return nil, 0, true }

// Pod implements plugin.Index.
func (x gangIndex) Pod(pod *plugin.Pod, _ *plugin.Node, sign int) {
	key, in := gangOf(pod.Pod)
	if !in {
		return
	}
	g := x.q.gangFor(key)
	switch {
	case sign > 0:
		g.hasNode[pod.UID] = true
	case g.waits[pod.UID] != nil:
		g.hasNode[pod.UID] = false
	default:
		delete(g.hasNode, pod.UID)
	}
	x.q.review(g, "AssignedPodAdd")
}

// setGroup takes a new version of a PodGroup, nil when it is gone. One that asks for fewer pods than before helps.
func (q *queue) setGroup(key gangKey, group *schedulingv1alpha3.PodGroup, now time.Time) {
	g := q.gangFor(key)
	was := g.group
	g.group = group
	fewer := was != nil && group != nil && was.Spec.SchedulingPolicy.Gang != nil && group.Spec.SchedulingPolicy.Gang != nil &&
		group.Spec.SchedulingPolicy.Gang.MinCount < was.Spec.SchedulingPolicy.Gang.MinCount
	if fewer && g.turn.state == unschedulable {
		q.again(g.turn, now, "PodGroupUpdate")
	}
	q.review(g, "PodGroupAdd")
}

// review puts a gang's turn into the queue when the gang has become ready, and takes it out when it is so no longer. Nobody is told what
// it waits for. A gang of which nothing is left is forgotten.
func (q *queue) review(g *gang, event string) {
	switch ready := g.ready(); {
	case g.turn.state == inFlight: // its end looks again
	case !ready:
		q.leave(g.turn)
		if len(g.waits) == 0 {
			g.turn.since = time.Time{}
			if len(g.hasNode) == 0 && g.group == nil {
				delete(q.gangs, g.key)
			}
		}
	case g.turn.state == 0:
		q.newTurn(g, event)
	}
}

// newTurn has a gang tried that was not in the queue.
func (q *queue) newTurn(g *gang, event string) {
	g.turn.pod = g.loose()[0].pod
	g.turn.attempts, g.turn.erred, g.turn.why = 0, false, outcome{}
	q.enter(g.turn, inActiveQ, event)
}

// grown lets a gang that found too little room be tried again because a pod has joined it.
func (q *queue) grown(g *gang, now time.Time) {
	if g.turn.state == unschedulable && g.ready() {
		q.again(g.turn, now, "PodAdd")
		return
	}
	q.review(g, "PodAdd")
}

// turned takes a gang back after its turn; why is what keeps the pods that still wait from a node.
func (q *queue) turned(g *gang, why outcome, now time.Time) {
	if q.back(g) {
		q.returned(g.turn, why, now)
	}
}

// turnFailed takes a gang back whose attempt met an error; it is tried again after its backoff.
func (q *queue) turnFailed(g *gang, now time.Time) {
	if q.back(g) {
		q.failed(g.turn, now)
	}
}

// back ends a turn, and reports whether there will be another.
func (q *queue) back(g *gang) bool {
	q.leave(g.turn)
	if !g.ready() {
		q.review(g, "")
		return false
	}
	g.turn.pod = g.loose()[0].pod
	return true
}

// rejoin takes back one pod of a gang whose placement came to nothing, by an error or because of plugins that did not permit it.
func (q *queue) rejoin(w *waiting, erred bool, now time.Time) {
	q.to(w, inGang)
	g := w.gang
	if g.turn.state == inFlight || g.turn.state == inActiveQ || !g.ready() {
		return // its end, or the next attempt, sees to it
	}
	g.turn.pod, g.turn.attempts = w.pod, max(g.turn.attempts, w.attempts)
	if erred {
		q.failed(g.turn, now)
		return
	}
	why := outcome{by: w.why.by}
	for _, one := range g.turn.why.by {
		why.by = addRejecting(why.by, one)
	}
	q.returned(g.turn, why, now)
}

// admit lets a pod be tried, with its gang if it is in one.
func (q *queue) admit(w *waiting, event string, now time.Time) {
	if w.gang == nil {
		q.enter(w, inActiveQ, event)
		return
	}
	q.to(w, inGang)
	q.grown(w.gang, now)
}

// reviewOf is review of the gang that a pod is in, if it is in one.
func (q *queue) reviewOf(w *waiting) {
	if w.gang != nil {
		q.review(w.gang, "PodAdd")
	}
}

// awaits reports whether a pod is in a gang, so that informers have to be there that tell of its group.
func (q *queue) awaits(pod *corev1.Pod) bool {
	_, in := gangOf(pod)
	return in && q.gangs != nil
}
