package kubelet

import (
	"context"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/admit"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/shutdown"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// stage is how far a pod has come in its life on this node; the comment of worker says what each means.
type stage uint8

const (
	syncing     stage = iota // the pod is to run
	terminating              // its containers are being stopped
	terminated               // none of them runs; its volumes and control groups are removed
	finished                 // only logs and dead containers are left; the hub may let the pod go
)

// record is what everybody may know of one pod, and the inbox of its worker. Every goroutine may call its methods: they take the
// lock and never wait for the pod.
//
// Invariant: stage only grows; once gone or rejected is set, it stays so.
type record struct {
	uid    types.UID
	wakes  chan struct{} // of one element: the worker is to look again
	resize *allocation.Conditions

	mu struct {
		sync.Mutex
		pod      *corev1.Pod
		gone     bool             // its source has it no longer
		rejected *admit.Rejection // the node does not take it, or evicts it
		status   *corev1.PodStatus
		wait     map[string]podstate.Waiting // why containers cannot be started, by their name
		stage    stage
		cancelOp context.CancelFunc // of the operation under way
		opGrace  int64              // the grace that a termination under way was begun with
		grace    int64              // of a pod that is evicted, or ended before the machine shuts down, in seconds
		disturbs string             // what the condition says of a pod that is evicted for others' sake
	}
}

func newRecord(pod *corev1.Pod) *record {
	r := &record{uid: pod.UID, wakes: make(chan struct{}, 1)}
	r.mu.pod = pod
	r.mu.status = pod.Status.DeepCopy()
	r.mu.wait = map[string]podstate.Waiting{}
	r.resize = allocation.ConditionsOf(pod)
	return r
}

// Current, Poke and Resize are the record as resize.Queue sees it.
func (r *record) Current() *corev1.Pod           { return r.current() }
func (r *record) Poke()                          { r.poke() }
func (r *record) Resize() *allocation.Conditions { return r.resize }

// poke makes the worker look again.
func (r *record) poke() {
	select {
	case r.wakes <- struct{}{}:
	default:
	}
}

// update hands over a newer state of the pod. A deletion cuts short what is being done for running it, and a shorter
// grace period cuts short a termination.
func (r *record) update(pod *corev1.Pod, gone bool) {
	r.mu.Lock()
	if gone && pod.ResourceVersion == "" {
		pod = r.mu.pod
	}
	r.mu.pod = pod
	r.mu.gone = r.mu.gone || gone
	ends := pod.DeletionTimestamp != nil || r.mu.gone
	if r.mu.cancelOp != nil && ends && (r.mu.stage == syncing || r.mu.stage == terminating && r.graceLocked() < r.mu.opGrace) {
		r.mu.cancelOp()
	}
	r.mu.Unlock()
	r.poke()
}

// reject ends the pod, which the node does not take or evicts.
func (r *record) reject(why *admit.Rejection) {
	r.mu.Lock()
	r.mu.rejected = why
	if r.mu.cancelOp != nil && r.mu.stage == syncing {
		r.mu.cancelOp()
	}
	r.mu.Unlock()
	r.poke()
}

// evict ends the pod with a grace of its own.
func (r *record) evict(message string, grace int64, disruption bool) {
	r.mu.Lock()
	if r.mu.grace = grace; disruption {
		r.mu.disturbs = message
	}
	r.mu.Unlock()
	r.reject(&admit.Rejection{Reason: evict.Reason, Message: message})
}

// shutDown ends the pod, with a grace of its own, before the machine shuts down.
func (r *record) shutDown(grace int64) {
	r.mu.Lock()
	r.mu.grace, r.mu.disturbs = grace, shutdown.Message
	r.mu.Unlock()
	r.reject(&admit.Rejection{Reason: shutdown.Reason, Message: shutdown.Message})
}

// preempt ends the pod, with the grace that it asks for, for the sake of a critical one.
func (r *record) preempt() {
	r.mu.Lock()
	r.mu.disturbs = admit.PreemptedTarget
	r.mu.Unlock()
	r.reject(&admit.Rejection{Reason: admit.Preempting, Message: admit.PreemptedMessage})
}

// over reports whether nothing of the pod runs any more.
func (r *record) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.stage >= terminated
}

// dismantled reports whether nothing of the pod runs any more and its volumes are gone.
func (r *record) dismantled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.stage >= finished
}

// active returns the pod and whether it still counts against the node's resources.
func (r *record) active() (*corev1.Pod, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.mu.status.Phase
	return r.mu.pod, r.mu.stage <= terminating && r.mu.rejected == nil && p != corev1.PodSucceeded && p != corev1.PodFailed
}

// Ends reports whether the pod is on its way out or over.
func (r *record) Ends() bool {
	pod, active := r.active()
	return !active || pod.DeletionTimestamp != nil
}

// current returns the pod with the newest status that is known.
func (r *record) current() *corev1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	pod := *r.mu.pod
	pod.Status = *r.mu.status
	return &pod
}

// failing reports why a container cannot be started; a reason of "" clears it.
func (r *record) failing(name, reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reason == "" {
		delete(r.mu.wait, name)
		return
	}
	r.mu.wait[name] = podstate.Waiting{Reason: reason, Message: message}
}

func (r *record) setStage(s stage) {
	r.mu.Lock()
	r.mu.stage = s
	r.mu.Unlock()
}

// graceLocked is how long the containers of a terminating pod are given, in seconds.
func (r *record) graceLocked() int64 {
	pod := r.mu.pod
	switch {
	case r.mu.gone && !pods.IsStatic(pod):
		return 1 // it was deleted by force, or while no kubelet ran: nobody waits for it
	case pod.DeletionGracePeriodSeconds != nil:
		return max(1, *pod.DeletionGracePeriodSeconds)
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		return max(1, *pod.Spec.TerminationGracePeriodSeconds)
	}
	return 30
}

// deadlineLocked returns when a pod has been active for too long.
func (r *record) deadlineLocked(pod *corev1.Pod) (time.Time, bool) {
	start := r.mu.status.StartTime
	if pod.Spec.ActiveDeadlineSeconds == nil || start.IsZero() {
		return time.Time{}, false
	}
	return start.Add(time.Duration(*pod.Spec.ActiveDeadlineSeconds) * time.Second), true
}
