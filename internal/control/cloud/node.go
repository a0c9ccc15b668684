package cloud

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/cloud"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
)

// machinesAtOnce is how many nodes the provider is asked about at a time.
const machinesAtOnce = 16

// machines is what the loops over nodes have in common, which ask the provider about the machine of each.
type machines struct {
	loop.Env
	cfg    Config
	cloud  cloud.InstancesV2
	nodes  *cache.Informer[*corev1.Node]
	queue  *loop.Queue
	ledger *loop.Ledger
	view   loop.View
}

// newMachines is for a provider that knows machines. All nodes are looked at again when it says that something has changed.
func newMachines(env loop.Env, cfg Config) machines {
	m := machines{Env: env, cfg: cfg, cloud: cfg.Provider.Instances, queue: loop.NewQueue(), ledger: loop.NewLedger()}
	m.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	m.view = loop.ViewOf(m.nodes)
	nodes, queue := m.nodes, m.queue
	cfg.Changes.add(func() {
		for _, n := range nodes.List("") {
			queue.Add(n.Name)
		}
	})
	return m
}

func (m *machines) controller(reconcile func(context.Context, string) (time.Duration, error)) *loop.Controller {
	return &loop.Controller{
		Name: m.Name, Workers: machinesAtOnce, Elastic: true, Queue: m.queue, Log: m.Log, Ledger: m.ledger,
		Synced: []<-chan struct{}{m.nodes.Synced()}, Reconcile: reconcile,
	}
}

// nodeIdentity is cloud-node-controller: it tells a new node what its machine is, and keeps the addresses of all.
type nodeIdentity struct {
	machines
	metrics *nodeMetrics
}

// NewNodes makes the cloud-node-controller; nil when the provider knows no machines.
func NewNodes(env loop.Env, cfg Config) loop.Runner {
	if cfg.Provider == nil || cfg.Provider.Instances == nil {
		return nil
	}
	c := &nodeIdentity{newMachines(env, cfg), newNodeMetrics()}
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add: func(n *corev1.Node) { c.queue.Add(n.Name) },
		Update: func(old, n *corev1.Node) {
			if hasTaint(n, taintUninitialized) != hasTaint(old, taintUninitialized) || !maps.Equal(n.Labels, old.Labels) ||
				n.Annotations[annProvidedIP] != old.Annotations[annProvidedIP] {
				c.queue.Add(n.Name)
			}
		},
	})
	return loop.Measured{Collector: c.metrics, Runner: c.controller(c.reconcile)}
}

func (c *nodeIdentity) reconcile(ctx context.Context, name string) (time.Duration, error) {
	n, ok := c.nodes.Get("", name)
	if !ok {
		c.ledger.Forget(name)
		return 0, nil
	}
	again := or(c.cfg.NodeStatus, 5*time.Minute)
	if hasTaint(n, taintUninitialized) {
		return again, c.initialize(ctx, n)
	}
	if labels := agreed(n); labels != nil {
		next := n.DeepCopy()
		next.Labels = labels
		out, err := client.Update(ctx, c.Door, client.Nodes, next)
		if err != nil {
			return 0, fmt.Errorf("labels of node %s: %w", name, err)
		}
		c.ledger.Wrote(name, c.view, out)
		n = out
	}
	m, err := c.cloud.InstanceMetadata(ctx, n)
	if err != nil || m == nil {
		if err != nil && ctx.Err() == nil { // the lifecycle loop looks after machines that are gone
			c.Log.Warn("cannot learn a machine's addresses", "node", name, "err", err)
		}
		return again, nil
	}
	return again, c.address(ctx, n, m)
}

func (c *nodeIdentity) initialize(ctx context.Context, n *corev1.Node) error {
	m, err := c.cloud.InstanceMetadata(ctx, n)
	if err != nil {
		return fmt.Errorf("failed to get instance metadata for node %s: %w", n.Name, err)
	}
	if m == nil {
		return nil // the provider has no word for it yet
	}
	next, err := initialized(n, m)
	if err != nil {
		return err
	}
	out, err := client.Update(ctx, c.Door, client.Nodes, next)
	if err != nil {
		return fmt.Errorf("initialize node %s: %w", n.Name, err)
	}
	c.ledger.Wrote(n.Name, c.view, out)
	c.metrics.untainted.Observe(age(n))
	c.Log.Info("node is what its cloud says", "node", n.Name, "provider_id", out.Spec.ProviderID, "zone", m.Zone, "type", m.InstanceType)
	if err := c.address(ctx, out, m); err != nil {
		return err
	}
	c.Events.EventRef(nodeReference(n), corev1.EventTypeNormal, "Synced", "Node synced successfully")
	c.metrics.initialized.Observe(age(n))
	return nil
}

// address writes the addresses of a node as its cloud says. One that the kubelet was told to use and the cloud does not know is told
// of and changes nothing.
func (c *nodeIdentity) address(ctx context.Context, n *corev1.Node, m *cloud.InstanceMetadata) error {
	addresses, err := addressesOf(n, m.NodeAddresses)
	if err != nil {
		c.Log.Warn("addresses left as they are", "node", n.Name, "err", err)
		return nil
	}
	if addresses == nil {
		return nil
	}
	// A merge patch replaces the list; a strategic one would mix two addresses of one type.
	out, err := client.MergePatch(ctx, c.Door, client.Ref{Resource: client.Nodes, Name: n.Name, Subresource: "status"},
		map[string]any{"metadata": map[string]any{"uid": n.UID}, "status": map[string]any{"addresses": slices.Clone(addresses)}})
	if err != nil {
		return fmt.Errorf("addresses of node %s: %w", n.Name, err)
	}
	if node, ok := out.(*corev1.Node); ok {
		c.ledger.Wrote(n.Name, c.view, node)
	}
	return nil
}
