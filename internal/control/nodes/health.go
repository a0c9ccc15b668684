package nodes

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// heartbeat is what is known of a node's signs of life. Times of ours only: clocks of nodes may differ.
type heartbeat struct {
	heard  time.Time   // when the last sign arrived
	status metav1.Time // the node's own time of its last status
	lease  metav1.MicroTime
	leased string // resource version of the lease
}

// conditions that a silent node no longer vouches for.
var vouched = []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure}

// judge returns the time at which node is to be given up if nothing is heard until then, and if that has come, its status
// with the conditions nobody vouches for any more; nil if they say so already.
func judge(node *corev1.Node, heard, now time.Time, grace, startupGrace time.Duration) (deadline time.Time, status *corev1.NodeStatus) {
	if nodeCondition(node, corev1.NodeReady) == nil {
		deadline = heard.Add(startupGrace)
	} else {
		deadline = heard.Add(grace)
	}
	if now.Before(deadline) {
		return deadline, nil
	}
	out := node.Status.DeepCopy()
	changed := false
	for _, kind := range vouched {
		i := conditionIndex(out.Conditions, kind)
		if i < 0 {
			out.Conditions = append(out.Conditions, corev1.NodeCondition{
				Type: kind, Status: corev1.ConditionUnknown,
				Reason: "NodeStatusNeverUpdated", Message: "Kubelet never posted node status.",
				LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: metav1.NewTime(now),
			})
			changed = true
			continue
		}
		c := &out.Conditions[i]
		if c.Status == corev1.ConditionUnknown {
			continue
		}
		c.Status, c.Reason, c.Message = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status."
		c.LastTransitionTime = metav1.NewTime(now)
		changed = true
	}
	if !changed {
		return deadline, nil
	}
	return deadline, out
}

func conditionIndex(conditions []corev1.NodeCondition, kind corev1.NodeConditionType) int {
	for i := range conditions {
		if conditions[i].Type == kind {
			return i
		}
	}
	return -1
}

func nodeCondition(node *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	if i := conditionIndex(node.Status.Conditions, kind); i >= 0 {
		return &node.Status.Conditions[i]
	}
	return nil
}

// readiness is the status of a node's Ready condition, "" if it has none.
func readiness(node *corev1.Node) corev1.ConditionStatus {
	if c := nodeCondition(node, corev1.NodeReady); c != nil {
		return c.Status
	}
	return ""
}
