package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Cluster is the cluster as of the last write that was replayed. The zero value is an empty one.
type Cluster struct {
	// Late is how many writes after a node's end a binding to it is forgiven: the scheduler cannot know of an end that is written while
	// its binding is on the way.
	Late uint64
	// Faults are what should not have been written, in the order of the writes.
	Faults []string

	revision uint64
	nodes    map[string]*node
	pods     map[types.UID]*corev1.Pod
	claims   map[string]*resourcev1.ResourceClaim // namespace/name
	devices  map[device]types.UID                 // that are allocated: the claim
	bound    map[types.UID]string                 // every pod that was ever bound, and where
}

// node is a node, also one that has gone.
type node struct {
	object *corev1.Node // nil once it has gone
	ended  uint64       // the revision at which it went
	pods   map[types.UID]*corev1.Pod
	sum    *load // of pods; nil until somebody asks
}

// device is one device of one node's or the network's pool.
type device struct{ driver, pool, name string }

// Check replays events of watches on pods, nodes and resource claims, in any order, and returns the cluster in which they end.
func Check(late uint64, events []watch.Event) *Cluster {
	type write struct {
		revision uint64
		event    watch.Event
	}
	var writes []write
	for _, e := range events {
		m, err := meta.Accessor(e.Object)
		if err != nil || e.Type == watch.Bookmark || e.Type == watch.Error {
			continue
		}
		n, err := strconv.ParseUint(m.GetResourceVersion(), 10, 64)
		if err != nil {
			continue
		}
		writes = append(writes, write{n, e})
	}
	slices.SortStableFunc(writes, func(a, b write) int { return cmp.Compare(a.revision, b.revision) })
	c := &Cluster{Late: late}
	for _, w := range writes {
		c.Write(w.revision, w.event)
	}
	return c
}

// Write takes the next write.
func (c *Cluster) Write(revision uint64, e watch.Event) {
	if c.nodes == nil {
		c.nodes, c.pods, c.claims = map[string]*node{}, map[types.UID]*corev1.Pod{}, map[string]*resourcev1.ResourceClaim{}
		c.devices, c.bound = map[device]types.UID{}, map[types.UID]string{}
	}
	c.revision = revision
	gone := e.Type == watch.Deleted
	switch obj := e.Object.(type) {
	case *corev1.Node:
		n := c.node(obj.Name)
		if n.object = obj; gone {
			n.object, n.ended = nil, revision
		}
	case *corev1.Pod:
		c.pod(obj, gone)
	case *resourcev1.ResourceClaim:
		c.claim(obj, gone)
	}
}

// fault notes what should not have been written.
func (c *Cluster) fault(format string, args ...any) {
	c.Faults = append(c.Faults, fmt.Sprintf("revision %d: ", c.revision)+fmt.Sprintf(format, args...))
}

// node returns a node, which may be one that was never there.
func (c *Cluster) node(name string) *node {
	n := c.nodes[name]
	if n == nil {
		n = &node{pods: map[types.UID]*corev1.Pod{}}
		c.nodes[name] = n
	}
	return n
}

// pod takes a version of a pod.
func (c *Cluster) pod(p *corev1.Pod, gone bool) {
	old := c.pods[p.UID]
	was := c.bound[p.UID]
	if was != "" && p.Spec.NodeName != was {
		c.fault("pod %s, bound to %s, is on %q", p.Name, was, p.Spec.NodeName)
	}
	if p.Spec.NodeName != "" {
		n := c.node(p.Spec.NodeName)
		n.sum = nil
		delete(n.pods, p.UID)
	}
	if delete(c.pods, p.UID); gone {
		return
	}
	c.pods[p.UID] = p
	if p.Spec.NodeName == "" || ended(p) {
		return
	}
	n := c.node(p.Spec.NodeName)
	n.pods[p.UID] = p
	if was == "" {
		c.bound[p.UID] = p.Spec.NodeName
		c.binding(old, p, n)
	}
}

// binding judges a pod's coming to a node, on which it is counted already.
func (c *Cluster) binding(old, p *corev1.Pod, n *node) {
	if n.object == nil && (n.ended == 0 || c.revision-n.ended > c.Late) {
		c.fault("pod %s is bound to %s, which is not there", p.Name, p.Spec.NodeName)
	}
	if old != nil && old.DeletionTimestamp != nil {
		c.fault("pod %s is bound while it is being deleted", p.Name)
	}
	if len(p.Spec.SchedulingGates) > 0 {
		c.fault("pod %s is bound behind its gates", p.Name)
	}
	for _, claim := range claimNames(p) {
		c.has(p, c.claims[p.Namespace+"/"+claim], claim, n)
	}
	if n.object == nil {
		return
	}
	if why := n.load().over(n.object); why != "" {
		c.fault("pod %s on %s: %s", p.Name, n.object.Name, why)
	}
	if why := unwelcome(p, n.object); why != "" {
		c.fault("pod %s on %s: %s", p.Name, n.object.Name, why)
	}
}

// ended reports whether a pod has come to its end, so that its node is free of it.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// Bound counts the pods that were ever bound.
func (c *Cluster) Bound() int { return len(c.bound) }

// Waiting returns the pods that are there and have no node, ungated ones only, by name.
func (c *Cluster) Waiting() []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range c.pods {
		if p.Spec.NodeName == "" && !ended(p) && p.DeletionTimestamp == nil && len(p.Spec.SchedulingGates) == 0 {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
