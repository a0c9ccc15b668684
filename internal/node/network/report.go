package network

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// report sets the node's NetworkUnavailable condition to False, unless it is already.
func (n *Network) report(ctx context.Context, self *corev1.Node) error {
	for _, c := range self.Status.Conditions {
		if c.Type == corev1.NodeNetworkUnavailable && c.Status == corev1.ConditionFalse {
			return nil
		}
	}
	now := metav1.NewTime(time.Now())
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{{
		Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionFalse,
		Reason: "RoutesReady", Message: "sampan routes the pods of this node",
		LastHeartbeatTime: now, LastTransitionTime: now,
	}}}})
	if err != nil {
		return err
	}
	ref := client.Ref{Resource: client.Nodes, Name: self.Name, Subresource: "status"}
	if _, err := n.cfg.Door.Patch(ctx, ref, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("patch node status: %w", err)
	}
	return nil
}
