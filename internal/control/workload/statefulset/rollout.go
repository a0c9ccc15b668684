package statefulset

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// roll plans the end of pods of old revisions, whose successors later looks make.
func (p *planner) roll() error {
	if p.set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return nil
	}
	partition, most, err := fenceposts(p.set)
	if err != nil {
		return err
	}
	unwell, unwellOld := 0, 0
	for _, pod := range p.replicas {
		if p.unavailable(pod) {
			unwell++
			if !p.ordered && p.old(pod) {
				unwellOld++
			}
		}
	}
	if unwell >= most && unwellOld == 0 {
		return nil
	}
	var steps []step
	if p.ordered {
		steps = p.rollWhere(partition, most-unwell, p.old)
	} else {
		// Pods that are unavailable already cost nothing. They go first, so that the budget is not spent on others while a
		// broken revision stays.
		steps = slices.Concat(
			p.rollWhere(partition, len(p.replicas), func(pod *corev1.Pod) bool { return p.old(pod) && !p.available(pod) }),
			p.rollWhere(partition, most-unwell, func(pod *corev1.Pod) bool { return p.old(pod) && p.available(pod) }))
	}
	p.add(stage{steps: steps, rollout: true})
	return nil
}

// rollWhere deletes up to n of the replicas from the partition on of which old says so, the highest ordinal first.
func (p *planner) rollWhere(partition, n int, old func(*corev1.Pod) bool) []step {
	var steps []step
	for i := len(p.replicas) - 1; i >= partition && len(steps) < n; i-- {
		if old(p.replicas[i]) {
			steps = append(steps, step{remove, p.replicas[i]})
		}
	}
	return steps
}

// old reports whether a pod is of another revision than the update's and still there to be deleted: one that has ended is
// deleted as a replica already, and one that is only now being made has the revision that it is to have.
func (p *planner) old(pod *corev1.Pod) bool {
	ended := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	return created(pod) && !ended && pod.DeletionTimestamp == nil && revisionOf(pod) != p.rev.update.Name
}

// fenceposts are the index of the first replica that a rollout replaces, and how many may be unavailable meanwhile.
func fenceposts(set *appsv1.StatefulSet) (partition, most int, err error) {
	r := set.Spec.UpdateStrategy.RollingUpdate
	if r == nil {
		return 0, 1, nil
	}
	if r.Partition != nil {
		partition = int(*r.Partition)
	}
	most, err = intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(r.MaxUnavailable, intstr.FromInt32(1)), int(*set.Spec.Replicas), false)
	return partition, max(1, most), err
}
