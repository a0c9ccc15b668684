package scheduler

import (
	"slices"

	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pinned returns the one node that a pod's affinity allows by its name, as the pods of DaemonSets have it, if the pod fits there:
// the others need not be asked, which for a DaemonSet on n nodes spares n times n of them. Where it does not fit, "", a look at
// all nodes says why. It chooses as profile.cycle does, for which no other node fits either (TestPinnedPods).
func (p *profile) pinned(pod *plugin.Pod, s *snapshot) string {
	name := onlyNode(pod.Spec.Affinity)
	if name == "" || !slices.ContainsFunc(p.filters, func(f filter) bool { return f.Name() == plugin.NodeAffinity{}.Name() }) {
		return ""
	}
	i, there := s.place[name]
	if !there {
		return ""
	}
	if by, _ := p.admit(pod, s.nodes[i], s); by != nil {
		return ""
	}
	return name
}

// onlyNode is the name of the node that an affinity requires, "" if it leaves a choice.
func onlyNode(a *corev1.Affinity) string {
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	terms := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms) != 1 {
		return ""
	}
	for _, r := range terms[0].MatchFields {
		if r.Key == metav1.ObjectNameField && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
			return r.Values[0]
		}
	}
	return ""
}
