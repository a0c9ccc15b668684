package workload

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
)

// victims returns the n of pods that are the least loss, in upstream's order of preference: unassigned, then pending,
// unknown, running; not ready; lower deletion cost; more pods of the same kind (related) on the node; ready for less time;
// more restarts; younger. Times are compared by powers of two, so that of pods of like age it is not always the same that
// go.
func victims(pods, related []*corev1.Pod, n int, now time.Time) []*corev1.Pod {
	if n >= len(pods) {
		return pods
	}
	onNode := map[string]int{}
	for _, p := range related {
		if loop.PodActive(p) {
			onNode[p.Spec.NodeName]++
		}
	}
	sorted := slices.Clone(pods)
	slices.SortStableFunc(sorted, func(a, b *corev1.Pod) int { return compareLoss(a, b, onNode, now) })
	return sorted[:n]
}

func compareLoss(a, b *corev1.Pod, onNode map[string]int, now time.Time) int {
	aReady, bReady := loop.PodReady(a), loop.PodReady(b)
	return cmp.Or(
		falseFirst(a.Spec.NodeName != "", b.Spec.NodeName != ""),
		cmp.Compare(phaseRank(a), phaseRank(b)),
		falseFirst(aReady, bReady),
		cmp.Compare(deletionCost(a), deletionCost(b)),
		cmp.Compare(onNode[b.Spec.NodeName], onNode[a.Spec.NodeName]),
		func() int {
			if !aReady || !bReady {
				return 0
			}
			return youngerFirst(readyTime(a), readyTime(b), a, b, now)
		}(),
		compareRestarts(a, b),
		youngerFirst(a.CreationTimestamp.Time, b.CreationTimestamp.Time, a, b, now),
	)
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func phaseRank(p *corev1.Pod) int {
	switch p.Status.Phase {
	case corev1.PodUnknown:
		return 1
	case corev1.PodRunning:
		return 2
	}
	return 0
}

func deletionCost(p *corev1.Pod) int32 {
	v := p.Annotations[corev1.PodDeletionCost]
	if v == "" || v[0] == '+' || v[0] == '0' && len(v) > 1 {
		return 0 // as validation has it: no sign, no leading zeros
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}

func readyTime(p *corev1.Pod) time.Time {
	if c := loop.PodCondition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

// youngerFirst compares two times by the power of two of their ages, and pods of one power by UID. A missing time comes
// first.
func youngerFirst(ta, tb time.Time, a, b *corev1.Pod, now time.Time) int {
	switch {
	case ta.Equal(tb):
		return 0
	case ta.IsZero():
		return -1
	case tb.IsZero():
		return 1
	}
	return cmp.Or(cmp.Compare(agePower(now.Sub(ta)), agePower(now.Sub(tb))), cmp.Compare(a.UID, b.UID))
}

func agePower(age time.Duration) int64 {
	if age <= 0 {
		return -1
	}
	return int64(math.Log2(float64(age)))
}

func compareRestarts(a, b *corev1.Pod) int {
	ar, as := loop.Restarts(a)
	br, bs := loop.Restarts(b)
	return cmp.Or(cmp.Compare(br, ar), cmp.Compare(bs, as))
}
