package plugin

import corev1 "k8s.io/api/core/v1"

// NodeUnschedulable keeps pods off cordoned nodes, unless they tolerate the taint that stands for it.
type NodeUnschedulable struct{ static }

var (
	cordonTaint = corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	cordoned    = Unresolvable("node(s) were unschedulable")
)

// Name implements Plugin.
func (NodeUnschedulable) Name() string { return "NodeUnschedulable" }

// Sign implements Signed.
func (NodeUnschedulable) Sign(s *Signer) { s.Tolerations() }

// Filter implements Filter.
func (NodeUnschedulable) Filter(pod *Pod, node *Node) Verdict {
	if node.Spec.Unschedulable && !tolerated(pod.Spec.Tolerations, &cordonTaint) {
		return cordoned
	}
	return Verdict{}
}

// Events implements Rejecting.
func (NodeUnschedulable) Events() Event { return NodeAdded | NodeCordon | PodUpdated }

// Helps implements Rejecting.
func (NodeUnschedulable) Helps(_ *Pod, c Change) bool {
	return c.Event == PodUpdated || !c.Node.Spec.Unschedulable
}
