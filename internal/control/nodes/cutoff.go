package nodes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// removeEnded removes the exclusive pods of a silent node once it has ended them, as it has promised, so that their controllers make
// others. It returns how long there is still to wait. Where all zones are silent it is more likely us who hear nothing, and nobody would
// run the others.
func (c *lifecycle) removeEnded(ctx context.Context, node *corev1.Node) (time.Duration, error) {
	promise, ok := pods.PromiseOf(node)
	c.mu.Lock()
	allDown := c.mu.allDown
	c.mu.Unlock()
	if !ok || allDown || readiness(node) != corev1.ConditionUnknown {
		return 0, nil
	}
	beat := c.beat(node.Name)
	if left := time.Until(beat.heard.Add(promise)); left > 0 {
		return left, nil
	}
	var due []*corev1.Pod
	for _, pod := range c.pods.ByIndex(nodeIndex, node.Name) {
		if pods.IsExclusive(pod) {
			due = append(due, pod)
		}
	}
	if len(due) == 0 {
		return 0, nil
	}
	if err := c.stillSilent(ctx, node.Name, beat); err != nil {
		return 0, err
	}
	var errs []error
	for _, pod := range due {
		now := int64(0)
		err := c.Door.Delete(ctx, client.Ref{Resource: client.Pods, Namespace: pod.Namespace, Name: pod.Name},
			metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			errs = append(errs, fmt.Errorf("remove pod %s/%s of a node that is cut off: %w", pod.Namespace, pod.Name, err))
			continue
		}
		c.Events.Eventf(pod, corev1.EventTypeNormal, "NodeCutOff", "Removed from Node %s, which has ended it: it was not heard of for %s", node.Name, promise)
	}
	return 0, errors.Join(errs...)
}

// stillSilent asks the hub whether the silence of a node is our own view's; an error says so, or that it cannot be known.
func (c *lifecycle) stillSilent(ctx context.Context, node string, beat heartbeat) error {
	lease, err := client.Get[*coordinationv1.Lease](ctx, c.Door, client.Leases, corev1.NamespaceNodeLease, node)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("look up lease to verify node %s: %w", node, err)
	}
	if err == nil && lease.ResourceVersion != beat.leased {
		return fmt.Errorf("view of leases is behind: node %s has been heard of", node)
	}
	return nil
}
