package nodes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// nodeReference is how events name a node.
func nodeReference(name string, uid types.UID) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name, UID: uid}
}

// announce records a node that is new to us.
func (c *lifecycle) announce(node *corev1.Node) {
	c.mu.Lock()
	old, had := c.mu.known[node.Name]
	c.mu.known[node.Name] = node.UID
	if had && old != node.UID { // made anew, unseen: what was due of the old one is not this one's
		c.dropLocked(node.Name)
	}
	c.mu.Unlock()
	if had && old != node.UID {
		c.farewell(node.Name, old)
	}
	if old != node.UID {
		c.Log.Info("node registered", "node", node.Name)
		c.Events.EventRef(nodeReference(node.Name, node.UID), corev1.EventTypeNormal, "RegisteredNode",
			fmt.Sprintf("Node %s event: Registered Node %s in Controller", node.Name, node.Name))
	}
}

// forget drops what is known of a node that is gone.
func (c *lifecycle) forget(name string) {
	c.mu.Lock()
	uid, known := c.mu.known[name]
	delete(c.mu.known, name)
	c.dropLocked(name)
	c.mu.Unlock()
	c.ledger.Forget(name)
	if known {
		c.farewell(name, uid)
	}
}

// dropLocked takes back what was due of a node.
func (c *lifecycle) dropLocked(name string) {
	delete(c.mu.unready, name)
	for _, line := range c.mu.zones {
		line.leave(name)
	}
}

func (c *lifecycle) farewell(name string, uid types.UID) {
	c.Log.Info("node removed", "node", name)
	c.Events.EventRef(nodeReference(name, uid), corev1.EventTypeNormal, "RemovingNode",
		fmt.Sprintf("Node %s event: Removing Node %s from Controller", name, name))
}

// checkHealth gives a node up when its time is over. It returns the node as it is then (nil: it is gone) and the time of
// the next check.
func (c *lifecycle) checkHealth(ctx context.Context, node *corev1.Node) (*corev1.Node, time.Time, error) {
	now := time.Now()
	beat := c.beat(node.Name)
	deadline, status := judge(node, beat.heard, now, c.cfg.MonitorGrace, c.cfg.StartupGrace)
	if status == nil {
		return node, deadline, nil
	}
	// The silence may be our own view's: ask the hub before a node's pods pay for it.
	if err := c.stillSilent(ctx, node.Name, beat); err != nil {
		return nil, deadline, err
	}
	before := readiness(node)
	out := node.DeepCopy()
	out.Status = *status
	out, err := client.UpdateStatus(ctx, c.Door, client.Nodes, out)
	if apierrors.IsNotFound(err) {
		return nil, deadline, nil
	}
	if err != nil {
		return nil, deadline, fmt.Errorf("update status: %w", err)
	}
	c.ledger.Wrote(node.Name, c.view, out)
	c.Log.Info("node is silent", "node", node.Name, "since", beat.heard)
	if before == corev1.ConditionTrue {
		c.Events.EventRef(nodeReference(node.Name, node.UID), corev1.EventTypeNormal, "NodeNotReady",
			fmt.Sprintf("Node %s status is now: NodeNotReady", node.Name))
		c.mu.Lock()
		c.mu.unready[node.Name] = true
		c.mu.Unlock()
	}
	return out, deadline, nil
}

// markPods makes the pods of a node that fell silent not ready, so that services stop leading there.
func (c *lifecycle) markPods(ctx context.Context, node *corev1.Node) error {
	c.mu.Lock()
	due := c.mu.unready[node.Name]
	c.mu.Unlock()
	if !due {
		return nil
	}
	if readiness(node) != corev1.ConditionTrue {
		var errs []error
		for _, pod := range c.pods.ByIndex(nodeIndex, node.Name) {
			errs = append(errs, c.markPod(ctx, pod))
		}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("mark pods not ready: %w", err)
		}
	}
	c.mu.Lock()
	delete(c.mu.unready, node.Name)
	c.mu.Unlock()
	return nil
}

func (c *lifecycle) markPod(ctx context.Context, pod *corev1.Pod) error {
	if !loop.PodReady(pod) {
		return nil
	}
	ready := *loop.PodCondition(pod, corev1.PodReady)
	ready.Status = corev1.ConditionFalse
	if err := setPodCondition(ctx, c.Door, pod, ready); err != nil {
		return err
	}
	c.Events.Event(pod, corev1.EventTypeWarning, "NodeNotReady", "Node is not ready")
	return nil
}

// applyTaints brings the node's taints in line with its conditions. wait is when to come again for a NoExecute taint whose
// turn has not come.
func (c *lifecycle) applyTaints(ctx context.Context, node *corev1.Node) (wait time.Duration, err error) {
	now := time.Now()
	evict, turn := keepTaints, false
	switch key := evictionTaint(node); {
	case c.allDown():
		evict = dropTaints // those that were placed before it was known that nobody is heard
	case key == "":
		if readiness(node) == corev1.ConditionTrue {
			evict = dropTaints
			c.leaveZones(node)
		}
	case hasTaint(node.Spec.Taints, key, corev1.TaintEffectNoExecute):
	case evicting(node):
		evict = placeTaints // from one reason to the other without a new turn
	default:
		if turn, wait = c.pass(node, now); turn {
			evict = placeTaints
		}
	}
	taints, changed := desiredTaints(node, evict, now)
	if !changed {
		return wait, nil
	}
	if err := c.write(ctx, node, asSeen, func(n *corev1.Node) { n.Spec.Taints = taints }); err != nil {
		if turn {
			c.giveBack(node)
		}
		return 0, fmt.Errorf("taint node: %w", err)
	}
	if turn {
		c.mu.Lock()
		c.mu.evicted[zoneOf(node)]++
		c.mu.Unlock()
	}
	return wait, nil
}

func (c *lifecycle) allDown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.allDown
}

func (c *lifecycle) pass(node *corev1.Node, now time.Time) (bool, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.zoneLocked(zoneOf(node), now).pass(node.Name, now)
}

// giveBack returns the token of a taint that could not be written.
func (c *lifecycle) giveBack(node *corev1.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.zoneLocked(zoneOf(node), time.Now()).giveBack(node.Name)
}

func (c *lifecycle) zoneLocked(zone string, now time.Time) *evictionQueue {
	q := c.mu.zones[zone]
	if q == nil {
		q = newEvictionQueue(c.cfg.EvictionRate, now)
		c.mu.zones[zone] = q
	}
	return q
}

func (c *lifecycle) leaveZones(node *corev1.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.mu.zones {
		q.leave(node.Name)
	}
}

// labelNode keeps the old names of the os and arch labels in step with the new ones.
func (c *lifecycle) labelNode(ctx context.Context, node *corev1.Node) error {
	set := map[string]string{}
	for primary, secondary := range map[string]string{corev1.LabelOSStable: "beta.kubernetes.io/os", corev1.LabelArchStable: "beta.kubernetes.io/arch"} {
		if v, ok := node.Labels[primary]; ok && node.Labels[secondary] != v {
			set[secondary] = v
		}
	}
	if len(set) == 0 {
		return nil
	}
	if err := c.write(ctx, node, asItIs, func(n *corev1.Node) { maps.Copy(n.Labels, set) }); err != nil {
		return fmt.Errorf("label node: %w", err)
	}
	return nil
}

func (c *lifecycle) write(ctx context.Context, node *corev1.Node, when condition, change func(*corev1.Node)) error {
	out, err := changeNode(ctx, c.Door, node, when, change)
	if out != nil {
		c.ledger.Wrote(node.Name, c.view, out)
	}
	return err
}

// condition is when a change of a node holds.
type condition bool

const (
	asSeen condition = true  // only if nobody else wrote meanwhile: what was decided depends on all of the node
	asItIs condition = false // whatever else was written
)

// changeNode writes a node with a change if it is still the same one, and returns what was written: nil when the node is
// gone, which needs nothing. In process an update costs half of a merge patch, which has to go through JSON.
func changeNode(ctx context.Context, door client.Interface, node *corev1.Node, when condition, change func(*corev1.Node)) (api.Object, error) {
	for newest := node; ; {
		next := newest.DeepCopy()
		change(next)
		out, err := client.Update(ctx, door, client.Nodes, next)
		if err == nil {
			return out, nil
		}
		if apierrors.IsConflict(err) && when == asItIs && ctx.Err() == nil {
			newest, err = client.Get[*corev1.Node](ctx, door, client.Nodes, "", node.Name)
			if err == nil && newest.UID == node.UID {
				continue
			}
		}
		if err == nil || apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
}

// reconcileZones judges the zones anew and sets the rates of eviction.
func (c *lifecycle) reconcileZones() error {
	all := c.nodes.List("")
	states, sizes := zoneStates(all, c.cfg.Unhealthy)
	r := rates{normal: c.cfg.EvictionRate, secondary: c.cfg.SecondaryRate, large: c.cfg.LargeCluster}
	now := time.Now()
	c.mu.Lock()
	was, down := c.mu.allDown, len(states) > 0 && allFull(states)
	c.mu.allDown = down
	for zone, state := range states {
		if c.mu.states[zone] != state {
			c.Log.Info("zone is in a new state", "zone", zone, "state", string(state), "nodes", sizes[zone])
		}
		c.zoneLocked(zone, now).set(r.of(state, sizes[zone], down), now)
	}
	c.mu.states = states
	for zone := range c.mu.zones {
		if _, ok := states[zone]; !ok {
			delete(c.mu.zones, zone)
		}
	}
	if was && !down {
		// They could not reach us, or we not them. Everybody gets the full time to be heard again.
		for name, b := range c.mu.beats {
			b.heard = now
			c.mu.beats[name] = b
		}
	}
	c.mu.Unlock()
	if was != down {
		c.Log.Info("all zones are down", "now", down)
	}
	for _, node := range all {
		if readiness(node) != corev1.ConditionTrue || evicting(node) {
			c.queue.Add(node.Name)
		}
	}
	return nil
}
