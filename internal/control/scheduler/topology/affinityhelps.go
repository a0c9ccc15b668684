package topology

import (
	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// Events implements plugin.Rejecting.
func (*InterPodAffinity) Events() plugin.Event {
	return plugin.NodeAdded | plugin.NodeLabel | plugin.PodPlaced | plugin.PodLeft | plugin.PodLabels | plugin.TargetLabels
}

// Helps implements plugin.Rejecting.
func (p *InterPodAffinity) Helps(pod *plugin.Pod, c plugin.Change) bool {
	t := pod.Terms
	if t == nil {
		t = &plugin.Terms{}
	}
	switch {
	case c.Event&plugin.TargetLabels != 0:
		return true
	case c.Event&(plugin.NodeAdded|plugin.NodeLabel) != 0:
		return nearer(t, c)
	case c.Event&plugin.PodPlaced != 0:
		return p.all(t.Affinity, c.Pod.Pod)
	case c.Event&plugin.PodLabels != 0:
		return p.all(t.Affinity, c.Pod.Pod) && !p.all(t.Affinity, c.Was.Pod) ||
			p.any(t.AntiAffinity, c.Was.Pod) && !p.any(t.AntiAffinity, c.Pod.Pod)
	}
	if p.any(t.AntiAffinity, c.Pod.Pod) || c.Pod.Terms != nil && p.any(c.Pod.Terms.AntiAffinity, pod.Pod) {
		return true
	}
	// Where none is left that the pod wants to be near, it may be the first.
	return p.all(t.Affinity, c.Pod.Pod) && p.all(t.Affinity, pod.Pod)
}

// all reports whether there are terms and all speak of pod.
func (p *InterPodAffinity) all(terms []plugin.Term, pod *corev1.Pod) bool {
	for i := range terms {
		if !terms[i].Matches(pod, p.namespace) {
			return false
		}
	}
	return len(terms) > 0
}

// any reports whether any of the terms speaks of pod.
func (p *InterPodAffinity) any(terms []plugin.Term, pod *corev1.Pod) bool {
	for i := range terms {
		if terms[i].Matches(pod, p.namespace) {
			return true
		}
	}
	return false
}

// nearer reports whether a node that came, or whose labels changed, may now be near enough or no longer too near.
func nearer(t *plugin.Terms, c plugin.Change) bool {
	if c.Event&plugin.NodeAdded != 0 {
		for i := range t.Affinity {
			if _, has := c.Node.Labels[t.Affinity[i].TopologyKey]; has {
				return true
			}
		}
		return len(t.Affinity) == 0
	}
	for i := range t.Affinity {
		key := t.Affinity[i].TopologyKey
		if now, has := c.Node.Labels[key]; has && (!labelled(c.Old, key) || c.Old.Labels[key] != now) {
			return true
		}
	}
	for i := range t.AntiAffinity {
		key := t.AntiAffinity[i].TopologyKey
		if was, had := c.Old.Labels[key]; had && (!labelled(c.Node, key) || c.Node.Labels[key] != was) {
			return true
		}
	}
	// The terms of pods that are there may name any label.
	return len(t.Affinity)+len(t.AntiAffinity) == 0
}

func labelled(n *plugin.Node, key string) bool {
	_, has := n.Labels[key]
	return has
}
