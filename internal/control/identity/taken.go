package identity

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sampan.dev/internal/client"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// freshFor is how long after its last renewal a node's lease says that the node is alive: the duration that kubelets write into
// it. What the lease itself says counts for nothing here, since the node writes it.
const freshFor = 40 * time.Second

// taken returns why nobody may join under a node's name, or "": a token lets a machine join, not become one that is there.
func (a *approver) taken(ctx context.Context, user string) (string, error) {
	name := strings.TrimPrefix(user, "system:node:")
	node, ok := a.nodes.Get("", name)
	if !ok {
		return "", nil
	}
	lease, err := client.Get[*coordinationv1.Lease](ctx, a.Door, client.Leases, corev1.NamespaceNodeLease, name)
	if apierrors.IsNotFound(err) {
		return "", nil // it was made for the machine that joins now
	}
	if err != nil {
		return "", fmt.Errorf("lease of node %s: %w", name, err)
	}
	return alive(node, lease, a.began, time.Now()), nil
}

// alive tells how it is known that a node is alive, or "". While the hub was away nobody could renew a lease: one that had not
// run out by then counts from when the controller began.
func alive(node *corev1.Node, lease *coordinationv1.Lease, began, now time.Time) string {
	if lease.Spec.RenewTime == nil {
		return ""
	}
	age := now.Sub(lease.Spec.RenewTime.Time)
	if (age >= freshFor || age <= -freshFor) && !(now.Sub(began) < freshFor && ready(node)) {
		return ""
	}
	return fmt.Sprintf("a Node with name %q exists in the cluster and is alive (its lease was renewed %v ago): "+
		"you must stop that node and delete it ('kubectl delete node %s'), or change the name of this new joining node (--hostname-override)",
		node.Name, age.Round(time.Second), node.Name)
}

func ready(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
