package job

import (
	"slices"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
)

// Waits before a pod that failed is replaced: the first, and the longest, for each failure in a row doubles the wait.
const (
	waitFirst   = 10 * time.Second
	waitLongest = 10 * time.Minute
)

// failures are those of a Job in a row, since a pod last succeeded.
type failures struct {
	count int32
	last  time.Time // of no meaning when count is 0
}

// and returns the record after more pods have ended. A success ends the row; what failed after it begins another.
func (f failures) and(succeeded, failed []*corev1.Pod) failures {
	if len(failed) == 0 {
		if len(succeeded) > 0 {
			return failures{}
		}
		return f
	}
	if len(succeeded) == 0 {
		return failures{f.count + int32(len(failed)), latest(failed)}
	}
	last := latest(succeeded)
	after := failures{}
	for _, p := range failed {
		if at := ended(p); at.After(last) {
			after.count++
			if at.After(after.last) {
				after.last = at
			}
		}
	}
	return after
}

// left is how long the replacement of the last pod that failed still waits.
func (f failures) left(now time.Time) time.Duration {
	if f.count == 0 {
		return 0
	}
	wait := waitFirst
	for n := f.count; n > 1 && wait < waitLongest; n-- {
		wait *= 2
	}
	return max(0, min(wait, waitLongest)-now.Sub(f.last))
}

func latest(ps []*corev1.Pod) time.Time {
	return ended(slices.MaxFunc(ps, func(a, b *corev1.Pod) int { return ended(a).Compare(ended(b)) }))
}

// ended says when a pod ended: when the last of its containers did if all have, when it ceased to be ready, when it was deleted,
// or else when it was made.
func ended(p *corev1.Pod) time.Time {
	if at := containersEnded(p); !at.IsZero() {
		return at
	}
	if c := loop.PodCondition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionFalse && !c.LastTransitionTime.IsZero() {
		return c.LastTransitionTime.Time
	}
	if p.DeletionTimestamp != nil {
		var grace int64
		if p.DeletionGracePeriodSeconds != nil {
			grace = *p.DeletionGracePeriodSeconds
		}
		return p.DeletionTimestamp.Add(-time.Duration(grace) * time.Second)
	}
	return p.CreationTimestamp.Time
}

// containersEnded is zero unless all containers, sidecars among them, have ended. Sidecars end after the others.
func containersEnded(p *corev1.Pod) time.Time {
	var at time.Time
	statuses := p.Status.ContainerStatuses
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		for _, s := range p.Status.InitContainerStatuses {
			if s.Name == c.Name && pods.IsSidecar(c) {
				statuses = append(slices.Clip(statuses), s)
			}
		}
	}
	for i := range statuses {
		end := statuses[i].State.Terminated
		if end == nil || end.FinishedAt.IsZero() {
			return time.Time{}
		}
		if end.FinishedAt.After(at) {
			at = end.FinishedAt.Time
		}
	}
	return at
}
