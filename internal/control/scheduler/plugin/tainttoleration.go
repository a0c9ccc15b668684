package plugin

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// TaintToleration keeps pods off nodes with NoSchedule and NoExecute taints that they do not tolerate, and prefers nodes
// with few untolerated PreferNoSchedule taints.
type TaintToleration struct{ static }

var tainted = Unresolvable("node(s) had untolerated taint(s)")

// Name implements Plugin.
func (TaintToleration) Name() string { return "TaintToleration" }

// Sign implements Signed.
func (TaintToleration) Sign(s *Signer) { s.Tolerations() }

// Filter implements Filter.
func (TaintToleration) Filter(pod *Pod, node *Node) Verdict {
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect != corev1.TaintEffectPreferNoSchedule && !tolerated(pod.Spec.Tolerations, t) {
			return tainted
		}
	}
	return Verdict{}
}

// Score implements Score: the number of preferences against the node.
func (TaintToleration) Score(pod *Pod, node *Node) int64 {
	var n int64
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect == corev1.TaintEffectPreferNoSchedule && !tolerated(pod.Spec.Tolerations, t) {
			n++
		}
	}
	return n
}

// Normalize implements Score.
func (TaintToleration) Normalize(raw, _, most int64) int64 { return reversed(raw, most) }

// Events implements Rejecting.
func (TaintToleration) Events() Event { return NodeAdded | NodeTaint | PodUpdated }

// Helps implements Rejecting.
func (p TaintToleration) Helps(pod *Pod, c Change) bool {
	switch c.Event {
	case PodUpdated:
		return true
	case NodeAdded:
		return p.Filter(pod, c.Node).Fits()
	}
	return !p.Filter(pod, c.Old).Fits() && p.Filter(pod, c.Node).Fits()
}

func tolerated(tolerations []corev1.Toleration, taint *corev1.Taint) bool {
	return slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool {
		return t.ToleratesTaint(klog.Background(), taint, false)
	})
}
