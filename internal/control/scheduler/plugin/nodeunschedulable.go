package plugin

import corev1 "k8s.io/api/core/v1"

// NodeUnschedulable keeps pods off cordoned nodes, unless they tolerate the taint that stands for it.
type NodeUnschedulable struct{ static }

var cordoned = corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}

// Name implements Plugin.
func (NodeUnschedulable) Name() string { return "NodeUnschedulable" }

// Filter implements Filter.
func (NodeUnschedulable) Filter(pod *Pod, node *Node) []string {
	if node.Spec.Unschedulable && !tolerated(pod.Spec.Tolerations, &cordoned) {
		return []string{"node(s) were unschedulable"}
	}
	return nil
}

// Helps implements Plugin.
func (NodeUnschedulable) Helps(_ *Pod, c Change) bool {
	switch c.Kind {
	case NodeAdded:
		return !c.Node.Spec.Unschedulable
	case NodeChanged:
		return c.Old.Spec.Unschedulable && !c.Node.Spec.Unschedulable
	}
	return c.Kind == PodUpdated
}
