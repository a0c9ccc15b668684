package workload

import (
	"time"

	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// burst bounds the pods that one look at a ReplicaSet creates or deletes. Upstream's 500 keeps a far hub from being flooded; here
// each look has its price, for the next one waits until the views show all that this one did.
const burst = 4000

// planReplicas decides how many pods to create, or which of active to delete. related returns the pods of all ReplicaSets of
// the same controller; it is asked only if some are to be deleted.
func planReplicas(want int32, active []*corev1.Pod, related func() []*corev1.Pod, now time.Time) (create int, remove []*corev1.Pod) {
	diff := len(active) - int(want)
	if diff < 0 {
		return min(-diff, burst), nil
	}
	if diff == 0 {
		return 0, nil
	}
	return 0, victims(active, related(), min(diff, burst), now)
}

// statusOf returns the status of rs with these pods. failure is what went wrong in creating or deleting. next is when a
// ready pod will become available, or 0.
func statusOf(rs *appsv1.ReplicaSet, active, terminating []*corev1.Pod, failure error, now time.Time) (s appsv1.ReplicaSetStatus, next time.Duration) {
	s = *rs.Status.DeepCopy()
	s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas = int32(len(active)), 0, 0, 0
	s.ObservedGeneration = rs.Generation
	full := labels.Set(rs.Spec.Template.Labels).AsSelectorPreValidated()
	for _, pod := range active {
		if full.Matches(labels.Set(pod.Labels)) {
			s.FullyLabeledReplicas++
		}
		if !loop.PodReady(pod) {
			continue
		}
		s.ReadyReplicas++
		ok, left := loop.PodAvailable(pod, time.Duration(rs.Spec.MinReadySeconds)*time.Second, now)
		if ok {
			s.AvailableReplicas++
		} else if left > 0 && (next == 0 || left < next) {
			next = left
		}
	}
	n := int32(len(terminating))
	s.TerminatingReplicas = &n
	s.Conditions = failureCondition(s.Conditions, int32(len(active))-*rs.Spec.Replicas, failure, now)
	return s, next
}

// failureCondition keeps a ReplicaFailure condition that is there while something fails, and removes it when nothing does.
func failureCondition(have []appsv1.ReplicaSetCondition, diff int32, failure error, now time.Time) []appsv1.ReplicaSetCondition {
	var out []appsv1.ReplicaSetCondition
	for _, c := range have {
		if c.Type != appsv1.ReplicaSetReplicaFailure {
			out = append(out, c)
		} else if failure != nil {
			return have
		}
	}
	if failure == nil {
		return out
	}
	reason := ""
	switch {
	case diff < 0:
		reason = "FailedCreate"
	case diff > 0:
		reason = "FailedDelete"
	}
	return append(out, appsv1.ReplicaSetCondition{
		Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: reason,
		LastTransitionTime: metav1.NewTime(now), Message: failure.Error(),
	})
}

func sameStatus(a, b *appsv1.ReplicaSetStatus) bool { return apiequality.Semantic.DeepEqual(a, b) }
