package admit

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// taintNodes makes new nodes unready from their first moment, so that nothing is placed on them before they are.
type taintNodes struct{}

func (taintNodes) Name() string { return "TaintNodesByCondition" }

func (taintNodes) Admit(_ context.Context, a *Attributes) error {
	node, ok := a.Object.(*corev1.Node)
	if !ok || !a.is("", "nodes", "") || a.Operation != Create {
		return nil
	}
	taint := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	for i := range node.Spec.Taints {
		if node.Spec.Taints[i].MatchTaint(&taint) {
			return nil
		}
	}
	node.Spec.Taints = append(node.Spec.Taints, taint)
	return nil
}
