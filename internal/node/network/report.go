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

// reasonNoRoute is what a cloud's route controller says of a node without routes.
const reasonNoRoute = "NoRouteCreated"

// report sets the node's NetworkUnavailable condition, unless it is as it should be: False, or True while the packet filter of
// somebody else drops what pods send or receive.
func (n *Network) report(ctx context.Context, self *corev1.Node) error {
	want := corev1.NodeCondition{Type: corev1.NodeNetworkUnavailable, Status: corev1.ConditionFalse,
		Reason: "RoutesReady", Message: "sampan routes the pods of this node"}
	n.mu.Lock()
	blocked := n.mu.blocked
	n.mu.Unlock()
	if blocked != "" {
		want.Status, want.Reason, want.Message = corev1.ConditionTrue, reasonBlocked, blocked
	}
	for _, c := range self.Status.Conditions {
		if c.Type == want.Type && blocked == "" && c.Reason == reasonNoRoute {
			return nil // a cloud's route controller says so, and will say when it is no longer so
		}
		if c.Type == want.Type && c.Status == want.Status && (want.Status == corev1.ConditionFalse || c.Message == want.Message) {
			return nil
		}
	}
	now := metav1.NewTime(time.Now())
	want.LastHeartbeatTime, want.LastTransitionTime = now, now
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{want}}})
	if err != nil {
		return err
	}
	ref := client.Ref{Resource: client.Nodes, Name: self.Name, Subresource: "status"}
	if _, err := n.cfg.Door.Patch(ctx, ref, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("patch node status: %w", err)
	}
	return nil
}
