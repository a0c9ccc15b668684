package scheduler

import (
	"container/heap"
	"container/list"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// Waiting times of a pod that could not be placed (upstream's defaults).
const (
	firstBackoff = time.Second
	mostBackoff  = 10 * time.Second
	// A pod that nothing has helped is tried again after this long all the same, in case a hint was wrong.
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

	state state
	index int // in its heap
	// Of a stuck pod: its place among those, and its group.
	place *list.Element
	group string
}

// groupName names the group of a stuck pod.
func (w *waiting) groupName() string {
	name := w.pod.Class
	if name == "" {
		name = "uid " + string(w.pod.UID)
	}
	for _, p := range w.why.by {
		name += "\x00" + p.Name()
	}
	return name
}

type state uint8

const (
	active  state = iota + 1 // in the heap of those to be tried now
	backoff                  // in the heap of those to be tried at readyAt
	stuck                    // until something helps
	gated                    // has scheduling gates
	trying                   // in a cycle, or being bound
)

// freeAttempts may follow one another at once. A pod that found no node comes back when a change has been found to help, so
// there is no need to hold it back (as upstream does, for a second) unless that happens over and over: a cluster that starts
// has pods before it has a node, and then a node before that one is ready.
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

// queue orders the waiting pods. It belongs to the scheduler's goroutine. What it does for one pod or one change does not
// grow with the number of pods that wait: those that are stuck for the same reason stand together.
type queue struct {
	byUID   map[types.UID]*waiting
	active  podHeap
	backoff podHeap
	stuck   list.List         // of *waiting, in the order in which they were tried
	groups  map[string]*group // of those in stuck
	changes []plugin.Change   // those since the oldest pod in a cycle began; see returned
	count   uint64            // changes ever seen
}

// group is pods of one class that the same plugins have rejected: what helps one of them helps all.
type group struct {
	by      []plugin.Plugin
	members map[*waiting]struct{}
}

func newQueue() *queue {
	q := &queue{byUID: map[types.UID]*waiting{}, groups: map[string]*group{}}
	q.active.less = func(a, b *waiting) bool {
		if pa, pb := priority(a), priority(b); pa != pb {
			return pa > pb
		}
		return a.since.Before(b.since)
	}
	q.backoff.less = func(a, b *waiting) bool { return a.readyAt().Before(b.readyAt()) }
	return q
}

func priority(w *waiting) int32 {
	if p := w.pod.Spec.Priority; p != nil {
		return *p
	}
	return 0
}

// set takes a new or changed pending pod.
func (q *queue) set(pod *plugin.Pod, now time.Time) {
	w := q.byUID[pod.UID]
	if w == nil {
		w = &waiting{pod: pod, since: now}
		q.byUID[pod.UID] = w
		if len(pod.Spec.SchedulingGates) > 0 {
			w.state = gated
			return
		}
		q.to(w, active)
		return
	}
	old := w.pod
	w.pod = pod
	switch w.state {
	case gated:
		if len(pod.Spec.SchedulingGates) == 0 {
			q.to(w, active)
		}
	case stuck:
		if w.pod.Class != old.Class {
			q.unstick(w)
			q.stick(w)
		}
		// Only a change of the spec can help; our own status writes come back here too.
		if old.Generation != pod.Generation || pod.Generation == 0 {
			q.help(w, plugin.Change{Kind: plugin.PodUpdated, Pod: pod}, now)
		}
	case active:
		heap.Fix(&q.active, w.index)
	case backoff:
		heap.Fix(&q.backoff, w.index)
	}
}

// remove forgets a pod and returns what was known of it.
func (q *queue) remove(uid types.UID) *waiting {
	w := q.byUID[uid]
	if w != nil {
		q.leave(w)
		delete(q.byUID, uid)
	}
	return w
}

// pop returns the next pod to try, moving it to trying, or nil. Pods whose backoff is over come in first.
func (q *queue) pop(now time.Time) *waiting {
	for q.backoff.Len() > 0 && !q.backoff.list[0].readyAt().After(now) {
		q.to(q.backoff.list[0], active)
	}
	if q.active.Len() == 0 {
		return nil
	}
	w := q.active.list[0]
	q.to(w, trying)
	w.attempts++
	w.moved = q.count
	return w
}

// next is when pop may return something it would not return now; zero if only a change can bring that about.
func (q *queue) next() time.Time {
	var at time.Time
	if q.backoff.Len() > 0 {
		at = q.backoff.list[0].readyAt()
	}
	if e := q.stuck.Front(); e != nil {
		if t := e.Value.(*waiting).tried.Add(longestWait); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// returned takes back a pod that found no node. A change that came while it was being tried, and that helps, counts.
func (q *queue) returned(w *waiting, why outcome, now time.Time) {
	w.why, w.tried, w.erred = why, now, false
	q.to(w, stuck)
	if missed := q.count - w.moved; missed > 0 {
		from := max(0, len(q.changes)-int(missed))
		for _, c := range q.changes[from:] {
			if q.help(w, c, now); w.state != stuck {
				return
			}
		}
	}
}

// failed takes back a pod whose binding went wrong; it is tried again after its backoff.
func (q *queue) failed(w *waiting, now time.Time) {
	w.tried, w.erred = now, true
	q.to(w, backoff)
}

// changed lets every stuck pod that c may help be tried again.
func (q *queue) changed(c plugin.Change, now time.Time) {
	q.count++
	if len(q.changes) >= 64 {
		q.changes = append(q.changes[:0], q.changes[32:]...)
	}
	q.changes = append(q.changes, c)
	for _, g := range q.groups {
		for w := range g.members { // any of them speaks for all
			if helps(w.pod, g.by, c) {
				for w := range g.members {
					q.again(w, now)
				}
			}
			break
		}
	}
}

// flush tries again what has been stuck for too long.
func (q *queue) flush(now time.Time) {
	for e := q.stuck.Front(); e != nil; e = q.stuck.Front() {
		w := e.Value.(*waiting)
		if now.Before(w.tried.Add(longestWait)) {
			return
		}
		q.to(w, active)
	}
}

// help lets a stuck pod be tried again if c may help it.
func (q *queue) help(w *waiting, c plugin.Change, now time.Time) {
	if helps(w.pod, w.why.by, c) {
		q.again(w, now)
	}
}

func helps(pod *plugin.Pod, by []plugin.Plugin, c plugin.Change) bool {
	for _, p := range by {
		if p.Helps(pod, c) {
			return true
		}
	}
	return len(by) == 0 // there was no node at all
}

// again lets a stuck pod be tried again, after its backoff.
func (q *queue) again(w *waiting, now time.Time) {
	if w.readyAt().After(now) {
		q.to(w, backoff)
	} else {
		q.to(w, active)
	}
}

func (q *queue) to(w *waiting, s state) {
	q.leave(w)
	w.state = s
	switch s {
	case active:
		heap.Push(&q.active, w)
	case backoff:
		heap.Push(&q.backoff, w)
	case stuck:
		q.stick(w)
	}
}

func (q *queue) stick(w *waiting) {
	w.place = q.stuck.PushBack(w)
	w.group = w.groupName()
	g := q.groups[w.group]
	if g == nil {
		g = &group{by: w.why.by, members: map[*waiting]struct{}{}}
		q.groups[w.group] = g
	}
	g.members[w] = struct{}{}
}

func (q *queue) unstick(w *waiting) {
	q.stuck.Remove(w.place)
	g := q.groups[w.group]
	if delete(g.members, w); len(g.members) == 0 {
		delete(q.groups, w.group)
	}
	w.place, w.group = nil, ""
}

func (q *queue) leave(w *waiting) {
	switch w.state {
	case active:
		heap.Remove(&q.active, w.index)
	case backoff:
		heap.Remove(&q.backoff, w.index)
	case stuck:
		q.unstick(w)
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
