package resize

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/event"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// How long after a pod was put off the others' places are looked at again though nothing has told of a change.
const (
	firstRetry = 30 * time.Second
	laterRetry = 3 * time.Minute
)

// Pod is one pod of the node as the queue sees it.
type Pod interface {
	Current() *corev1.Pod // with the newest status that is known
	Ends() bool           // it is on its way out or over
	Resize() *allocation.Conditions
	Poke() // its worker is to look again
}

// Config is what the queue needs.
type Config struct {
	Alloc     *allocation.Manager
	Exclusive allocation.Exclusive
	// Pod finds a pod, nil when the node has it no longer.
	Pod func(uid types.UID) Pod
	// Fits says why the node has no room for a pod beside the others, nil when it has.
	Fits   func(pod *corev1.Pod) (reason, message string)
	Events *event.Recorder
	Log    *slog.Logger
}

// Queue answers the pods that ask for other resources than they were given: it gives them, puts them off until there is room, or
// refuses. Every goroutine may call it.
//
// Invariant: a pod whose spec differs from what it was given, and that may still get it, is in pending. The timer runs while anything
// is there. One pod is answered at a time, so that two are never promised the same room.
type Queue struct {
	Config

	mu struct {
		sync.Mutex
		ctx     context.Context // of the run; nil before it, when pods are only noted
		pending map[types.UID]bool
		timer   *time.Timer
	}
}

// New makes a queue that answers nobody before Begin.
func New(cfg Config) *Queue {
	q := &Queue{Config: cfg}
	q.mu.pending = map[types.UID]bool{}
	return q
}

// Begin answers from now on, until ctx ends. It is called when all pods of the node are known: until then room would be given away
// that another holds.
func (q *Queue) Begin(ctx context.Context) {
	q.mu.Lock()
	q.mu.ctx = ctx
	q.mu.Unlock()
	q.Retry()
}

// End stops the timer.
func (q *Queue) End() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.timer != nil {
		q.mu.timer.Stop()
	}
	q.mu.ctx = nil
}

// Changed looks whether a pod asks for something else than it was given.
func (q *Queue) Changed(rec Pod) {
	pod := rec.Current()
	if pods.IsStatic(pod) || q.Alloc.Allocated.Get(pod.UID) == nil {
		return
	}
	q.mu.Lock()
	if q.Alloc.Given(pod) == pod {
		waited := q.mu.pending[pod.UID]
		delete(q.mu.pending, pod.UID)
		q.mu.Unlock()
		if rec.Resize().Settle() || waited {
			rec.Poke()
		}
		return
	}
	q.mu.pending[pod.UID] = true
	q.mu.Unlock()
	q.Retry()
}

// Retry answers all pods that wait, because room may have come.
func (q *Queue) Retry() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.mu.pending) == 0 || q.mu.ctx == nil || q.mu.ctx.Err() != nil {
		return
	}
	var list []allocation.Pending
	records := map[types.UID]Pod{}
	for uid := range q.mu.pending {
		rec := q.Pod(uid)
		if rec == nil || rec.Ends() {
			delete(q.mu.pending, uid)
			continue
		}
		pod := rec.Current()
		records[uid] = rec
		list = append(list, allocation.Pending{Pod: pod, Given: q.Alloc.Given(pod), Since: rec.Resize().Since()})
	}
	allocation.Order(list)
	for _, p := range list {
		if q.answer(records[p.Pod.UID], p) {
			delete(q.mu.pending, p.Pod.UID)
		}
	}
	q.rearmLocked(laterRetry)
}

// rearmLocked has the timer retry after d while anything waits.
func (q *Queue) rearmLocked(d time.Duration) {
	switch {
	case len(q.mu.pending) == 0:
		if q.mu.timer != nil {
			q.mu.timer.Stop()
			q.mu.timer = nil
		}
	case q.mu.timer == nil:
		q.mu.timer = time.AfterFunc(firstRetry, q.Retry)
	default:
		q.mu.timer.Reset(d)
	}
}

// answer decides about one pod and tells it. It reports whether the pod need not be asked again.
func (q *Queue) answer(rec Pod, p allocation.Pending) (done bool) {
	if p.Given == p.Pod {
		rec.Resize().Settle()
		return true
	}
	reason, message := q.refusal(p)
	if reason == "" {
		q.Alloc.Allocated.Set(p.Pod.UID, allocation.Of(p.Pod))
		if err := q.Alloc.Flush(); err != nil { // nothing is done that a restart would not know of
			q.Alloc.Allocated.Set(p.Pod.UID, allocation.Of(p.Given))
			q.Log.Error("allocation not written", "pod", pods.Describe(p.Pod), "error", err)
			return false
		}
		rec.Resize().Begin(p.Pod.Generation, time.Now())
		q.Events.Pod(p.Pod, "", corev1.EventTypeNormal, "ResizeStarted", "%s", allocation.Message("Pod resize started", p.Pod, p.Pod.Generation, ""))
		rec.Poke()
		return true
	}
	if rec.Resize().PutOff(reason, message, p.Pod.Generation, time.Now()) {
		event := "ResizeDeferred"
		if reason == corev1.PodReasonInfeasible {
			event = "ResizeInfeasible"
		}
		q.Events.Pod(p.Pod, "", corev1.EventTypeWarning, event, "%s", allocation.Message("Pod resize "+reason, p.Pod, p.Pod.Generation, message))
		rec.Poke()
	}
	return reason == corev1.PodReasonInfeasible
}

// refusal is why a pod cannot have what it asks for now, "" when it can. What is not Infeasible is put off.
func (q *Queue) refusal(p allocation.Pending) (reason, message string) {
	if message := allocation.Infeasible(p.Pod, p.Given, q.Exclusive); message != "" {
		return corev1.PodReasonInfeasible, message
	}
	return q.Fits(p.Pod)
}
