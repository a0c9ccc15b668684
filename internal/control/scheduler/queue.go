package scheduler

import (
	"container/heap"
	"container/list"
	"maps"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// Waiting times of a pod that could not be placed (upstream's defaults).
const (
	firstBackoff = time.Second
	mostBackoff  = 10 * time.Second
	// A pod that nothing has helped is tried again after this long all the same, in case a plugin's Helps was wrong.
	longestWait = 5 * time.Minute
)

// waiting is a pod that is to be placed.
type waiting struct {
	pod      *plugin.Pod
	since    time.Time // when it came, for the order among equals
	attempts int
	tried    time.Time // the end of the last attempt
	erred    bool      // it found a node, and the binding could not be written
	why      outcome   // of the last attempt
	moved    uint64    // the queue's count of changes when the last attempt began
	began    time.Time // when that was

	state state
	index int // in its heap
	// Of an unschedulable pod: its place in their list, and its group.
	place *list.Element
	group string

	gang   *gang // that the pod is in, if it is in one
	turnOf *gang // it is the turn of this gang, not a pod; pod is one of its pods
}

// groupName names the group of an unschedulable pod.
func (w *waiting) groupName() string {
	if w.turnOf != nil {
		return "gang " + w.turnOf.key.namespace + "/" + w.turnOf.key.name
	}
	name := w.pod.Spec.SchedulerName + "\x00" + strconv.Itoa(int(priority(w.pod))) + "\x00"
	if w.pod.Signature == "" {
		name += "uid " + string(w.pod.UID)
	} else {
		name += w.pod.Signature
	}
	for _, p := range w.why.by {
		name += "\x00" + p.Name()
	}
	return name
}

type state uint8

const (
	inActiveQ     state = iota + 1 // to be tried now
	inBackoffQ                     // found no node and may now be helped: to be tried at readyAt, or before when nothing else is
	inErrorQ                       // met an error: to be tried at readyAt, never before
	unschedulable                  // until something helps
	gated                          // has scheduling gates
	inGang                         // until it is the turn of its gang
	inFlight                       // in a cycle, or on the way to being bound
)

// freeAttempts may follow one another at once, whatever else waits. A pod that found no node comes back when a change has been
// found to help, so there is no need to put others first (as upstream does, for a second) unless that happens over and over: a
// cluster that starts has pods before it has a node, and then a node before that one is ready.
const freeAttempts = 2

// readyAt is when a backed-off pod may be tried again.
func (w *waiting) readyAt() time.Time {
	free := freeAttempts
	if w.erred {
		free = 0
	}
	if w.attempts <= free {
		return w.tried
	}
	d := firstBackoff
	for i := free + 1; i < w.attempts && d < mostBackoff; i++ {
		d *= 2
	}
	return w.tried.Add(min(d, mostBackoff))
}

// queue orders the waiting pods. Each is in byUID and in the place that its state names. What the queue does for one pod or
// one change does not grow with the number of pods that wait: unschedulable pods with one signature and priority that the same
// plugins have rejected form a group, which is asked about as one. It belongs to the scheduler's goroutine.
type queue struct {
	byUID         map[types.UID]*waiting
	activeQ       podHeap           // by priority, then by age
	backoffQ      podHeap           // by the second of readyAt, then as activeQ
	errorQ        podHeap           // by readyAt
	unschedulable list.List         // of *waiting, in the order in which they were tried
	groups        map[string]*group // of the unschedulable pods
	changes       []plugin.Change   // the last ones, for pods in flight; see returned
	count         uint64            // changes ever seen
	gangs         map[gangKey]*gang // nil when pods are tried one by one, whatever group they name
	incoming      map[entrance]uint64
}

// group is unschedulable pods with one signature and priority that the same plugins have rejected: what helps one of them helps all.
type group struct {
	by      []plugin.Rejecting
	members map[*waiting]struct{}
}

// entrance is how a pod came into a part of the queue, by upstream's names, for metrics.
type entrance struct{ queue, event string }

func newQueue() *queue {
	q := &queue{byUID: map[types.UID]*waiting{}, groups: map[string]*group{}, incoming: map[entrance]uint64{}}
	q.activeQ.less = first
	q.backoffQ.less = sooner
	q.errorQ.less = func(a, b *waiting) bool { return a.readyAt().Before(b.readyAt()) }
	return q
}

// first is the order of pods that may be tried: by priority, then by age.
func first(a, b *waiting) bool {
	if pa, pb := priority(a.pod), priority(b.pod); pa != pb {
		return pa > pb
	}
	return a.since.Before(b.since)
}

// sooner is the order of pods that are held back so that others get their turn. Those whose time comes within one second of the
// clock are ordered by first, so that a pod is not overtaken by a less important one that was held back a moment less.
func sooner(a, b *waiting) bool {
	if ta, tb := a.readyAt().Truncate(time.Second), b.readyAt().Truncate(time.Second); !ta.Equal(tb) {
		return ta.Before(tb)
	}
	return first(a, b)
}

func priority(pod *plugin.Pod) int32 { return pod.Priority() }

// set takes a new or changed pending pod.
func (q *queue) set(pod *plugin.Pod, now time.Time) {
	w := q.byUID[pod.UID]
	if w == nil {
		w = &waiting{pod: pod, since: now}
		q.byUID[pod.UID] = w
		q.join(w)
		if len(pod.Spec.SchedulingGates) > 0 {
			w.state = gated
			q.incoming[entrance{"gated", "PodAdd"}]++
			q.reviewOf(w)
			return
		}
		q.admit(w, "PodAdd", now)
		return
	}
	old := w.pod
	w.pod = pod
	switch w.state {
	case gated:
		if len(pod.Spec.SchedulingGates) == 0 {
			q.admit(w, "PodUpdate", now)
		}
	case inGang:
		if (old.Generation != pod.Generation || pod.Generation == 0) && w.gang.turn.state == unschedulable {
			q.again(w.gang.turn, now, "PodUpdate")
		}
	case unschedulable:
		if w.pod.Signature != old.Signature || w.pod.Spec.SchedulerName != old.Spec.SchedulerName {
			q.leaveGroup(w)
			q.joinGroup(w)
		}
		// Only a change of the spec or the labels can help; our own status writes come back here too.
		if old.Generation != pod.Generation || pod.Generation == 0 {
			q.help(w, plugin.Change{Event: plugin.PodUpdated, Pod: pod}, now)
		}
		if w.state == unschedulable && len(old.Status.ResourceClaimStatuses) != len(pod.Status.ResourceClaimStatuses) {
			q.help(w, plugin.Change{Event: plugin.ClaimsNamed, Pod: pod}, now)
		}
		if w.state == unschedulable && !maps.Equal(old.Labels, pod.Labels) {
			q.help(w, plugin.Change{Event: plugin.TargetLabels, Pod: pod, Was: old}, now)
		}
	case inActiveQ:
		heap.Fix(&q.activeQ, w.index)
	case inBackoffQ:
		heap.Fix(&q.backoffQ, w.index)
	case inErrorQ:
		heap.Fix(&q.errorQ, w.index)
	}
}

// remove forgets a pod and returns what was known of it.
func (q *queue) remove(uid types.UID) *waiting {
	w := q.byUID[uid]
	if w != nil {
		q.leave(w)
		delete(q.byUID, uid)
		q.part(w)
	}
	return w
}

// pop returns the next pod to try, putting it in flight, or nil. Pods whose backoff is over come in first. When there is no other,
// one that was helped need not wait for its time (upstream's SchedulerPopFromBackoffQ): backoff is there so that it does not keep
// others from their turn. One that met an error waits all the same, for the sake of whoever could not answer.
func (q *queue) pop(now time.Time) *waiting {
	for _, h := range []*podHeap{&q.backoffQ, &q.errorQ} {
		for h.Len() > 0 && !h.list[0].readyAt().After(now) {
			q.enter(h.list[0], inActiveQ, "BackoffComplete")
		}
	}
	if q.activeQ.Len() == 0 {
		if q.backoffQ.Len() == 0 {
			return nil
		}
		q.enter(q.backoffQ.list[0], inActiveQ, "PopFromBackoffQ")
	}
	w := q.activeQ.list[0]
	q.to(w, inFlight)
	w.attempts++
	w.moved, w.began = q.count, now
	return w
}

// next is when pop, which has just returned nil, may return something; zero if only a change can bring that about.
func (q *queue) next() time.Time {
	var at time.Time
	if q.errorQ.Len() > 0 {
		at = q.errorQ.list[0].readyAt()
	}
	if e := q.unschedulable.Front(); e != nil {
		if t := e.Value.(*waiting).tried.Add(longestWait); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// returned takes back a pod that found no node. A change that came while it was in flight, and that helps, counts; what it
// brought about itself does not.
func (q *queue) returned(w *waiting, why outcome, now time.Time) {
	w.why, w.tried, w.erred = why, now, false
	if w.gang != nil {
		q.rejoin(w, false, now)
		return
	}
	q.enter(w, unschedulable, "ScheduleAttemptFailure")
	if missed := q.count - w.moved; missed > 0 {
		from := max(0, len(q.changes)-int(missed))
		for _, c := range q.changes[from:] {
			if c.Pod != nil && c.Pod.UID == w.pod.UID {
				continue
			}
			if q.help(w, c, now); w.state != unschedulable {
				return
			}
		}
	}
}

// failed takes back a pod whose binding went wrong; it is tried again after its backoff.
func (q *queue) failed(w *waiting, now time.Time) {
	if w.gang != nil {
		w.tried = now
		q.rejoin(w, true, now)
		return
	}
	w.tried, w.erred = now, true
	q.enter(w, inErrorQ, "ScheduleAttemptFailure")
}

// changed lets every unschedulable pod that c may help be tried again.
func (q *queue) changed(c plugin.Change, now time.Time) {
	q.count++
	if len(q.changes) >= 64 {
		q.changes = append(q.changes[:0], q.changes[32:]...)
	}
	q.changes = append(q.changes, c)
	for _, g := range q.groups {
		for w := range g.members { // any of them speaks for all
			if w.helped(c) {
				for w := range g.members {
					q.again(w, now, eventName(c.Event))
				}
			}
			break
		}
	}
}

// flush tries again what has been unschedulable for too long.
func (q *queue) flush(now time.Time) {
	for e := q.unschedulable.Front(); e != nil; e = q.unschedulable.Front() {
		w := e.Value.(*waiting)
		if now.Before(w.tried.Add(longestWait)) {
			return
		}
		q.enter(w, inActiveQ, "UnschedulableTimeout")
	}
}

// help lets an unschedulable pod be tried again if c may help it.
func (q *queue) help(w *waiting, c plugin.Change, now time.Time) {
	if w.helped(c) {
		q.again(w, now, eventName(c.Event))
	}
}

func helps(pod *plugin.Pod, by []plugin.Rejecting, c plugin.Change) bool {
	for _, p := range by {
		if p.Events()&c.Event != 0 && p.Helps(pod, c) {
			return true
		}
	}
	return len(by) == 0 && c.Event != plugin.PodPlaced // there was no node at all
}

// again lets an unschedulable pod be tried again, after its backoff.
func (q *queue) again(w *waiting, now time.Time, event string) {
	if w.readyAt().After(now) {
		q.enter(w, inBackoffQ, event)
	} else {
		q.enter(w, inActiveQ, event)
	}
}

// retry lets a pod be tried again, after its backoff, if it is unschedulable.
func (q *queue) retry(uid types.UID, now time.Time) {
	if w := q.byUID[uid]; w != nil && w.state == unschedulable {
		q.again(w, now, "AssignedPodDelete")
	}
}

// enter is to, counted.
func (q *queue) enter(w *waiting, s state, event string) {
	q.to(w, s)
	q.incoming[entrance{stateName(s), event}]++
}

func (q *queue) to(w *waiting, s state) {
	q.leave(w)
	w.state = s
	switch s {
	case inActiveQ:
		heap.Push(&q.activeQ, w)
	case inBackoffQ:
		heap.Push(&q.backoffQ, w)
	case inErrorQ:
		heap.Push(&q.errorQ, w)
	case unschedulable:
		q.joinGroup(w)
	}
}

func (q *queue) joinGroup(w *waiting) {
	w.place = q.unschedulable.PushBack(w)
	w.group = w.groupName()
	g := q.groups[w.group]
	if g == nil {
		g = &group{by: w.why.by, members: map[*waiting]struct{}{}}
		q.groups[w.group] = g
	}
	g.members[w] = struct{}{}
}

func (q *queue) leaveGroup(w *waiting) {
	q.unschedulable.Remove(w.place)
	g := q.groups[w.group]
	if delete(g.members, w); len(g.members) == 0 {
		delete(q.groups, w.group)
	}
	w.place, w.group = nil, ""
}

func (q *queue) leave(w *waiting) {
	switch w.state {
	case inActiveQ:
		heap.Remove(&q.activeQ, w.index)
	case inBackoffQ:
		heap.Remove(&q.backoffQ, w.index)
	case inErrorQ:
		heap.Remove(&q.errorQ, w.index)
	case unschedulable:
		q.leaveGroup(w)
	}
	w.state = 0
}

// podHeap is a heap of pods that know their place.
type podHeap struct {
	list []*waiting
	less func(a, b *waiting) bool
}

func (h *podHeap) Len() int           { return len(h.list) }
func (h *podHeap) Less(i, j int) bool { return h.less(h.list[i], h.list[j]) }
func (h *podHeap) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].index, h.list[j].index = i, j
}
func (h *podHeap) Push(x any) {
	w := x.(*waiting)
	w.index = len(h.list)
	h.list = append(h.list, w)
}
func (h *podHeap) Pop() any {
	w := h.list[len(h.list)-1]
	h.list[len(h.list)-1] = nil
	h.list = h.list[:len(h.list)-1]
	return w
}
