package cloud

import (
	"context"
	"fmt"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/cloud"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// lifecycle is cloud-node-lifecycle-controller: of nodes that are not ready it asks the cloud whether the machine is gone, and then
// deletes the node, or shut down, and then taints it. A node that is ready is nobody's to ask about.
type lifecycle struct {
	machines
	metrics *lifecycleMetrics
}

// NewLifecycle makes the cloud-node-lifecycle-controller; nil when the provider knows no machines.
func NewLifecycle(env loop.Env, cfg Config) loop.Runner {
	if cfg.Provider == nil || cfg.Provider.Instances == nil {
		return nil
	}
	c := &lifecycle{newMachines(env, cfg), newLifecycleMetrics()}
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add: c.due,
		Update: func(old, n *corev1.Node) {
			if loop.NodeReady(old) != loop.NodeReady(n) {
				c.due(n)
			}
		},
	})
	return loop.Measured{Collector: c.metrics, Runner: c.controller(c.reconcile)}
}

// due lets a node that is not ready have a period's time: it may have come just now, and its cloud not know it yet.
func (c *lifecycle) due(n *corev1.Node) {
	if loop.NodeReady(n) {
		c.queue.Add(n.Name)
		return
	}
	c.queue.AddAfter(n.Name, or(c.cfg.NodeMonitor, 5*time.Second))
}

// reconcile comes again after the monitor period for as long as the node is not ready; an answer that fails waits for that too.
func (c *lifecycle) reconcile(ctx context.Context, name string) (time.Duration, error) {
	n, ok := c.nodes.Get("", name)
	if !ok {
		c.ledger.Forget(name)
		return 0, nil
	}
	if loop.NodeReady(n) {
		if hasTaint(n, taintShutdown) {
			return 0, c.taint(ctx, n, false)
		}
		return 0, nil
	}
	again := or(c.cfg.NodeMonitor, 5*time.Second)
	defer c.metrics.looked(time.Now())
	exists, err := c.cloud.InstanceExists(ctx, n)
	if err == nil && !exists {
		c.metrics.called("instance_exists", cloud.ErrInstanceNotFound)
	} else {
		c.metrics.called("instance_exists", err)
	}
	switch {
	case err != nil:
		c.cannot(ctx, "exists", n, err)
		return again, nil
	case !exists:
		c.delete(ctx, n)
		return again, nil
	}
	shutdown, err := c.cloud.InstanceShutdown(ctx, n)
	c.metrics.called("instance_shutdown", err)
	switch {
	case err != nil:
		c.cannot(ctx, "is shut down", n, err)
	case shutdown && !hasTaint(n, taintShutdown):
		return again, c.taint(ctx, n, true)
	}
	return again, nil
}

func (c *lifecycle) cannot(ctx context.Context, what string, n *corev1.Node, err error) {
	if ctx.Err() == nil {
		c.Log.Warn("cannot learn whether a machine "+what, "node", n.Name, "err", err)
	}
}

func (c *lifecycle) delete(ctx context.Context, n *corev1.Node) {
	c.Events.EventRef(nodeReference(n), corev1.EventTypeNormal, "DeletingNode",
		fmt.Sprintf("Deleting node %s because it does not exist in the cloud provider", n.Name))
	c.Log.Info("machine is gone", "node", n.Name)
	if err := client.Delete(ctx, c.Door, client.Nodes, "", n.Name, n.UID); err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		c.Log.Error("cannot delete a node", "node", n.Name, "err", err)
		c.Events.EventRef(nodeReference(n), corev1.EventTypeWarning, "DeletingNodeFailed", fmt.Sprintf("Failed deleting node %s: %v", n.Name, err))
	}
}

func (c *lifecycle) taint(ctx context.Context, n *corev1.Node, on bool) error {
	next := n.DeepCopy()
	next.Spec.Taints = withoutTaint(n.Spec.Taints, taintShutdown)
	if on {
		next.Spec.Taints = append(next.Spec.Taints, corev1.Taint{Key: taintShutdown, Effect: corev1.TaintEffectNoSchedule})
	}
	out, err := client.Update(ctx, c.Door, client.Nodes, next)
	if err != nil {
		return fmt.Errorf("taint of node %s: %w", n.Name, err)
	}
	c.ledger.Wrote(n.Name, c.view, out)
	c.Log.Info("machine is shut down", "node", n.Name, "is", on)
	return nil
}
