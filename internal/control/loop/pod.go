package loop

import (
	"maps"
	"slices"
	"time"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PodCondition returns a condition of a pod's status, or nil.
func PodCondition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

// PodReady reports whether the pod's Ready condition is True.
func PodReady(pod *corev1.Pod) bool {
	c := PodCondition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// PodAvailable reports whether the pod has been ready for at least minReady at now, and, if it is ready but not
// available yet, how long it still takes.
func PodAvailable(pod *corev1.Pod, minReady time.Duration, now time.Time) (ok bool, left time.Duration) {
	c := PodCondition(pod, corev1.PodReady)
	if c == nil || c.Status != corev1.ConditionTrue {
		return false, 0
	}
	if minReady == 0 {
		return true, 0
	}
	if c.LastTransitionTime.IsZero() {
		return false, 0
	}
	left = c.LastTransitionTime.Add(minReady).Sub(now)
	return left <= 0, max(left, 0)
}

// PodTerminal reports whether the pod has ended for good.
func PodTerminal(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// PodActive reports whether the pod has neither ended nor been told to.
func PodActive(pod *corev1.Pod) bool {
	return !PodTerminal(pod) && pod.DeletionTimestamp == nil
}

// PodMatters reports whether a workload that counts its pods by readiness looks at anything that has changed of a pod. Of the
// five or so updates that a pod sees until it is ready one does, and each look at a workload is a walk over its pods.
func PodMatters(old, p *corev1.Pod) bool {
	if old.UID != p.UID || PodTerminal(old) != PodTerminal(p) || (old.DeletionTimestamp == nil) != (p.DeletionTimestamp == nil) {
		return true
	}
	was, is := PodCondition(old, corev1.PodReady), PodCondition(p, corev1.PodReady)
	if (was == nil) != (is == nil) || was != nil && (was.Status != is.Status || !was.LastTransitionTime.Equal(&is.LastTransitionTime)) {
		return true
	}
	return !maps.Equal(old.Labels, p.Labels) ||
		!slices.EqualFunc(old.OwnerReferences, p.OwnerReferences, func(a, b metav1.OwnerReference) bool { return apiequality.Semantic.DeepEqual(a, b) })
}

// Restarts returns the highest restart counts among containers and among sidecars.
func Restarts(p *corev1.Pod) (regular, sidecar int32) {
	for i := range p.Status.ContainerStatuses {
		regular = max(regular, p.Status.ContainerStatuses[i].RestartCount)
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if !pods.IsSidecar(c) {
			continue
		}
		for j := range p.Status.InitContainerStatuses {
			if s := &p.Status.InitContainerStatuses[j]; s.Name == c.Name {
				sidecar = max(sidecar, s.RestartCount)
			}
		}
	}
	return regular, sidecar
}
