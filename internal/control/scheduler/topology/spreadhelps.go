package topology

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"

	"sampan.dev/internal/control/scheduler/plugin"
)

// Events implements plugin.Rejecting.
func (*PodTopologySpread) Events() plugin.Event {
	return plugin.NodeAdded | plugin.NodeLeft | plugin.NodeLabel | plugin.NodeTaint | plugin.PodPlaced | plugin.PodLeft | plugin.PodLabels |
		plugin.PodUpdated | plugin.TargetLabels
}

// Helps implements plugin.Rejecting.
func (p *PodTopologySpread) Helps(pod *plugin.Pod, c plugin.Change) bool {
	list, _ := p.constraints(pod.Pod)
	list = slices.DeleteFunc(list, func(one constraint) bool { return one.WhenUnsatisfiable != corev1.DoNotSchedule })
	counts := func(of func(one *constraint) bool) bool {
		for i := range list {
			if of(&list[i]) {
				return true
			}
		}
		return false
	}
	switch {
	case c.Event&plugin.PodUpdated != 0:
		return counts(func(one *constraint) bool { return one.taints })
	case c.Event&(plugin.PodPlaced|plugin.PodLeft) != 0:
		return c.Pod.Namespace == pod.Namespace &&
			counts(func(one *constraint) bool { return one.selector.Matches(labels.Set(c.Pod.Labels)) })
	case c.Event&(plugin.PodLabels|plugin.TargetLabels) != 0:
		return c.Pod.Namespace == pod.Namespace && counts(func(one *constraint) bool {
			return one.selector.Matches(labels.Set(c.Pod.Labels)) != one.selector.Matches(labels.Set(c.Was.Labels))
		})
	}
	has := func(n *plugin.Node) bool {
		return !counts(func(one *constraint) bool { return !labelled(n, one.TopologyKey) })
	}
	switch {
	case c.Event&plugin.NodeAdded != 0:
		return has(c.Node)
	case c.Event&plugin.NodeLeft != 0:
		return has(c.Old)
	}
	return has(c.Old) != has(c.Node) || has(c.Node) && (!equality.Semantic.DeepEqual(c.Old.Spec.Taints, c.Node.Spec.Taints) ||
		counts(func(one *constraint) bool { return c.Old.Labels[one.TopologyKey] != c.Node.Labels[one.TopologyKey] }))
}
