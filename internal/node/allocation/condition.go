package allocation

import (
	"sync"
	"time"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions say how far a change of a pod's resources is: asked for and not given, given and not done. A pod that has what it asks for
// has neither. Every goroutine may use them; what they hand out is shared and never changed.
type Conditions struct {
	mu                sync.Mutex
	pending, progress *corev1.PodCondition
}

// ConditionsOf are those that an earlier run has told of a pod.
func ConditionsOf(pod *corev1.Pod) *Conditions {
	return &Conditions{pending: pods.FindCondition(pod.Status.Conditions, corev1.PodResizePending),
		progress: pods.FindCondition(pod.Status.Conditions, corev1.PodResizeInProgress)}
}

// List is what the pod's status shows.
func (c *Conditions) List() (out []corev1.PodCondition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range []*corev1.PodCondition{c.pending, c.progress} {
		if one != nil {
			out = append(out, *one)
		}
	}
	return out
}

// condition is a condition of a resize; old is the one that it replaces, whose time stays while the reason does.
func condition(t corev1.PodConditionType, old *corev1.PodCondition, reason, message string, generation int64, now time.Time) *corev1.PodCondition {
	at := metav1.NewTime(now).Rfc3339Copy()
	c := &corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: generation,
		LastProbeTime: at, LastTransitionTime: at}
	if old != nil && old.Reason == reason {
		c.LastTransitionTime = old.LastTransitionTime
		if old.Message == message && old.ObservedGeneration == generation {
			return old // nothing to tell
		}
	}
	return c
}

// PutOff tells that the node does not give a pod what it asks for. It reports whether that is news.
func (c *Conditions) PutOff(reason, message string, generation int64, now time.Time) bool {
	if reason != corev1.PodReasonInfeasible {
		reason = corev1.PodReasonDeferred
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.pending
	c.pending = condition(corev1.PodResizePending, was, reason, message, generation, now)
	return was == nil || was.Reason != reason || was.ObservedGeneration != generation
}

// Since is when a pod was put off, zero when it was not.
func (c *Conditions) Since() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if told := c.pending; told != nil {
		return told.LastTransitionTime.Time
	}
	return time.Time{}
}

// Settle tells that a pod no longer asks for anything that it has not. It reports whether it did.
func (c *Conditions) Settle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.pending != nil
	c.pending = nil
	return was
}

// Begin tells that a pod was given what it asks for, of a generation of its spec; errors of a resize before are forgotten.
func (c *Conditions) Begin(generation int64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending, c.progress = nil, condition(corev1.PodResizeInProgress, nil, "", "", generation, now)
}

// UnderWay tells that a resize is under way, if it was not told, or that it has failed, with the reason Error. It returns the generation
// that the resize is of, and whether that is news.
func (c *Conditions) UnderWay(reason, message string, generation int64, now time.Time) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.progress
	if was != nil {
		generation = was.ObservedGeneration
		if reason == "" {
			reason, message = was.Reason, was.Message
		}
	}
	c.progress = condition(corev1.PodResizeInProgress, was, reason, message, generation, now)
	return generation, c.progress != was
}

// Done tells that no resize is under way. It returns the generation of the one that was.
func (c *Conditions) Done() (generation int64, was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.progress
	if told == nil {
		return 0, false
	}
	c.progress = nil
	return told.ObservedGeneration, true
}
