package preempt

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sampan.dev/internal/control/scheduler/plugin"
)

// candidate is a node and the pods that would have to leave it.
type candidate struct {
	node       *plugin.Node
	victims    []*plugin.Pod // the most important first
	violations int           // of disruption budgets
	price      price         // of the victims
}

// noVictims is what is said of a node without a pod of lower priority.
const noVictims = "No preemption victims found for incoming pod"

// budget is a disruption budget and how many disruptions it still allows.
type budget struct {
	namespace string
	selector  labels.Selector
	disrupted map[string]metav1.Time
	allowed   int32
}

// budgets reads those that select anything.
func budgets(list []*policyv1.PodDisruptionBudget) []budget {
	var out []budget
	for _, b := range list {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || selector.Empty() {
			continue
		}
		out = append(out, budget{b.Namespace, selector, b.Status.DisruptedPods, b.Status.DisruptionsAllowed})
	}
	return out
}

// about reports whether a budget is about a pod. None is about a pod without labels.
func (b *budget) about(pod *corev1.Pod) bool {
	return len(pod.Labels) > 0 && b.namespace == pod.Namespace && b.selector.Matches(labels.Set(pod.Labels))
}

// violates counts a pod's eviction against the budgets and reports whether one of them does not allow it.
func violates(pod *plugin.Pod, left []budget) bool {
	for i := range left {
		b := &left[i]
		if !b.about(pod.Pod) {
			continue
		}
		if _, counted := b.disrupted[pod.Name]; counted {
			continue
		}
		if b.allowed--; b.allowed < 0 {
			return true
		}
	}
	return false
}

// victims returns which of the pods of lower priority, lower, have to leave node for the pod at hand to fit. All are taken
// away first, and then put back as long as it fits: those that a budget protects first, then the others, the most important
// first. A verdict that does not fit says that it would not help if all left.
func victims(node *plugin.Node, lower []*plugin.Pod, left []budget, without plugin.Without, now time.Time) (candidate, plugin.Verdict) {
	if len(lower) == 0 {
		return candidate{}, plugin.Unresolvable(noVictims)
	}
	if v := without(node, lower); !v.Fits() {
		return candidate{}, v
	}
	lower = slices.Clone(lower)
	slices.SortStableFunc(lower, func(a, b *plugin.Pod) int { return important(a, b, now) })
	left = slices.Clone(left)
	var guarded, others []*plugin.Pod
	for _, p := range lower {
		if violates(p, left) {
			guarded = append(guarded, p)
		} else {
			others = append(others, p)
		}
	}
	out := candidate{node: node}
	gone := slices.Concat(guarded, others)
	for _, p := range slices.Clone(gone) {
		rest := slices.DeleteFunc(slices.Clone(gone), func(o *plugin.Pod) bool { return o == p })
		if without(node, rest).Fits() {
			gone = rest
			continue
		}
		out.victims = append(out.victims, p)
		if slices.Contains(guarded, p) {
			out.violations++
		}
	}
	slices.SortStableFunc(out.victims, func(a, b *plugin.Pod) int { return important(a, b, now) })
	if len(out.victims) > 0 {
		out.price = priceOf(out.victims)
	}
	return out, plugin.Verdict{}
}

// important orders pods by what their eviction costs: by priority, then by how long they have run.
func important(a, b *plugin.Pod, now time.Time) int {
	if pa, pb := priority(a.Pod), priority(b.Pod); pa != pb {
		if pa > pb {
			return -1
		}
		return 1
	}
	return started(a.Pod, now).Compare(started(b.Pod, now))
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

// started is when the node began with the pod; one that it has not begun with starts now.
func started(pod *corev1.Pod, now time.Time) time.Time {
	if pod.Status.StartTime == nil {
		return now
	}
	return pod.Status.StartTime.Time
}
