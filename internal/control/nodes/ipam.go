package nodes

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// IPAMConfig says what pod ranges are cut from.
type IPAMConfig struct {
	ClusterCIDRs []netip.Prefix // one, or one per family
	MaskSizes    []int          // of a node's range in each; none or 0 means 24 for IPv4 and 64 for IPv6
	ServiceCIDRs []netip.Prefix // kept out of pod ranges
}

// ipam gives each node its pod ranges.
type ipam struct {
	loop.Env
	cfg    IPAMConfig
	queue  *loop.Queue
	ledger *loop.Ledger
	nodes  *cache.Informer[*corev1.Node]
	view   loop.View

	mu struct {
		sync.Mutex
		ranges []*ranges // nil until the nodes that are there have been looked at
		// waiting are the nodes for which there was no range left. They are looked at again when one comes free: to try on
		// their own accord would help nobody, and of a thousand nodes too many each would.
		waiting map[string]struct{}
	}
}

// NewIPAM makes the node-ipam-controller.
func NewIPAM(env loop.Env, cfg IPAMConfig) loop.Runner {
	c := &ipam{Env: env, cfg: cfg, queue: loop.NewQueue(), ledger: loop.NewLedger()}
	c.mu.waiting = map[string]struct{}{}
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	c.view = loop.ViewOf(c.nodes)
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add:    func(n *corev1.Node) { c.queue.Add(n.Name) },
		Update: func(_, n *corev1.Node) { c.queue.Add(n.Name) },
		Delete: c.gone,
	})
	controller := &loop.Controller{
		Name: env.Name, Workers: 4, Queue: c.queue, Log: env.Log, Ledger: c.ledger,
		Synced: []<-chan struct{}{c.nodes.Synced()}, Reconcile: c.reconcile,
	}
	return loop.Then{First: c.start, Runner: controller}
}

// start divides the ranges and learns what is taken, before anything is given away.
func (c *ipam) start(ctx context.Context) error {
	select {
	case <-c.nodes.Synced():
	case <-ctx.Done():
		return nil
	}
	var all []*ranges
	for i, cidr := range c.cfg.ClusterCIDRs {
		bits := 24
		if cidr.Addr().Is6() {
			bits = 64
		}
		if i < len(c.cfg.MaskSizes) && c.cfg.MaskSizes[i] != 0 {
			bits = c.cfg.MaskSizes[i]
		}
		r, err := newRanges(cidr, bits)
		if err != nil {
			return err
		}
		for _, s := range c.cfg.ServiceCIDRs {
			r.exclude(s)
		}
		all = append(all, r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.ranges = all
	for _, n := range c.nodes.List("") {
		if err := c.occupyLocked(n); err != nil {
			c.Log.Error("node has a range that is not ours to give", "node", n.Name, "err", err)
		}
	}
	return nil
}

// gone frees the ranges of a node, for those that wait for one.
func (c *ipam) gone(n *corev1.Node) { c.release(n.Name) }

// waitLocked notes that there is no range for a node, and reports whether that is news.
func (c *ipam) waitLocked(name string) bool {
	if _, known := c.mu.waiting[name]; known {
		return false
	}
	if c.mu.waiting[name] = struct{}{}; len(c.mu.waiting) == 1 {
		c.Log.Warn("no pod ranges are left", "node", name)
	}
	return true
}

func (c *ipam) reconcile(ctx context.Context, name string) (time.Duration, error) {
	node, ok := c.nodes.Get("", name)
	if !ok {
		c.ledger.Forget(name)
		return 0, nil
	}
	if node.DeletionTimestamp != nil {
		return 0, nil
	}
	if len(node.Spec.PodCIDRs) > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return 0, c.occupyLocked(node)
	}
	cidrs, news := c.take(name)
	if cidrs == nil {
		if news {
			c.event(node, "CIDRNotAvailable")
		}
		return 0, nil // release makes it due again
	}
	out, err := changeNode(ctx, c.Door, node, asItIs, func(n *corev1.Node) { // ranges that are there already cannot be changed
		n.Spec.PodCIDR, n.Spec.PodCIDRs = cidrs[0], cidrs
	})
	if err != nil {
		if !apierrors.IsServerTimeout(err) { // it may have been written then; what is seen decides
			c.release(name)
		}
		if !apierrors.IsConflict(err) && ctx.Err() == nil {
			c.event(node, "CIDRAssignmentFailed")
		}
		return 0, fmt.Errorf("assign pod ranges: %w", err)
	}
	if out == nil {
		c.release(name)
		return 0, nil
	}
	c.ledger.Wrote(name, c.view, out)
	c.Log.Info("node has its pod ranges", "node", name, "pod_cidrs", cidrs)
	return 0, nil
}

func (c *ipam) event(node *corev1.Node, reason string) {
	c.Events.EventRef(nodeReference(node.Name, node.UID), corev1.EventTypeNormal, reason,
		fmt.Sprintf("Node %s status is now: %s", node.Name, reason))
}

// take takes a range of each family for a node. If one has none left it takes none and notes that the node waits; news says
// that it did not do so already.
func (c *ipam) take(name string) (cidrs []string, news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.mu.ranges {
		p, err := r.take(name)
		if err != nil { // errRangesUsedUp
			c.releaseLocked(name)
			c.Log.Debug("no pod range for a node", "node", name, "cluster_cidr", i, "err", err)
			return nil, c.waitLocked(name)
		}
		cidrs = append(cidrs, p.String())
	}
	return cidrs, false
}

// release frees the ranges of a node and lets those that wait try again.
func (c *ipam) release(name string) {
	c.mu.Lock()
	c.releaseLocked(name)
	delete(c.mu.waiting, name)
	waiting := slices.Collect(maps.Keys(c.mu.waiting))
	clear(c.mu.waiting)
	c.mu.Unlock()
	for _, other := range waiting {
		c.queue.Add(other)
	}
}

func (c *ipam) releaseLocked(name string) {
	for _, r := range c.mu.ranges {
		r.release(name)
	}
}

func (c *ipam) occupyLocked(n *corev1.Node) error {
	for i, s := range n.Spec.PodCIDRs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("node %s has pod range %q: %w", n.Name, s, err)
		}
		if i >= len(c.mu.ranges) {
			return fmt.Errorf("node:%s has an allocated cidr: %s at index:%d that does not exist in cluster cidrs configuration", n.Name, s, i)
		}
		if c.mu.ranges[i].holds(p, n.Name) {
			continue
		}
		if err := c.mu.ranges[i].occupy(p, n.Name); err != nil {
			return err
		}
	}
	return nil
}
