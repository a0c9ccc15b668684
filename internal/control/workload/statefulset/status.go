package statefulset

import (
	"slices"
	"time"

	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// status counts pods as they were seen.
func (l *look) status(pods []*corev1.Pod) appsv1.StatefulSetStatus {
	s := appsv1.StatefulSetStatus{
		ObservedGeneration: l.set.Generation,
		CurrentRevision:    l.rev.current.Name, UpdateRevision: l.rev.update.Name,
		CollisionCount: &l.rev.collisions,
		Conditions:     slices.Clone(l.set.Status.Conditions),
	}
	for _, p := range pods {
		if !created(p) {
			continue
		}
		s.Replicas++
		if runningAndReady(p) {
			s.ReadyReplicas++
			if l.available(p) {
				s.AvailableReplicas++
			}
		}
		if p.DeletionTimestamp != nil {
			continue
		}
		if revisionOf(p) == l.rev.current.Name {
			s.CurrentReplicas++
		}
		if revisionOf(p) == l.rev.update.Name {
			s.UpdatedReplicas++
		}
	}
	return s
}

// statusAfter is the status to write after a plan has been carried out whose pods were seen as seen says. Pods that it made are in it, so
// that their making needs no write of its own when the next look sees them. A rollout that is complete makes its revision the current one.
func (l *look) statusAfter(seen *appsv1.StatefulSetStatus, out outcome) *appsv1.StatefulSetStatus {
	s := *seen
	s.CurrentReplicas -= int32(out.rolled)
	for _, p := range out.made {
		if p == nil {
			continue
		}
		s.Replicas++
		if revisionOf(p) == l.rev.current.Name {
			s.CurrentReplicas++
		}
		if revisionOf(p) == l.rev.update.Name {
			s.UpdatedReplicas++
		}
	}
	if want := *l.set.Spec.Replicas; s.UpdatedReplicas == want && s.ReadyReplicas == want && s.Replicas == want {
		s.CurrentReplicas, s.CurrentRevision = s.UpdatedReplicas, s.UpdateRevision
	}
	return &s
}

// sameStatus reports whether a status need not be written. The count of collisions alone is no reason to.
func sameStatus(have, want *appsv1.StatefulSetStatus) bool {
	return want.ObservedGeneration <= have.ObservedGeneration &&
		want.Replicas == have.Replicas && want.ReadyReplicas == have.ReadyReplicas && want.AvailableReplicas == have.AvailableReplicas &&
		want.CurrentReplicas == have.CurrentReplicas && want.UpdatedReplicas == have.UpdatedReplicas &&
		want.CurrentRevision == have.CurrentRevision && want.UpdateRevision == have.UpdateRevision &&
		apiequality.Semantic.DeepEqual(have.Conditions, want.Conditions)
}

// untilAvailable is the time until the next of the pods becomes available that are ready and not yet.
func untilAvailable(set *appsv1.StatefulSet, pods []*corev1.Pod, now time.Time) time.Duration {
	minReady := time.Duration(set.Spec.MinReadySeconds) * time.Second
	next := minReady
	for _, p := range pods {
		if _, left := loop.PodAvailable(p, minReady, now); left > 0 {
			next = min(next, left)
		}
	}
	return next
}
