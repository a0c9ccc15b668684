package plugin

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
)

// Node is a node with the sums over the pods that run, or are about to run, on it. It is immutable: With, WithPod and
// WithoutPod return changed copies that share what did not change. It holds sums and not the pods themselves, so that a
// change costs the same on a full node as on an empty one; a plugin that needs to count pods by some property keeps a
// counter here, as Ports is one.
type Node struct {
	*corev1.Node // nil while only its pods are known
	Name         string
	Allocatable  Resources
	Requested    Resources // sum over the pods; its Pods is their number
	Assumed      Resources // the same with missing requests filled in, for scoring
	Ports        map[Port]int
	Images       map[string]int64 // normalized name -> bytes
}

// NewNode returns a node of which nothing is known yet.
func NewNode(name string) *Node { return &Node{Name: name} }

// With returns the node with a new version of its object; nil when the object is gone.
func (n *Node) With(obj *corev1.Node) *Node {
	c := *n
	c.Node, c.Allocatable, c.Images = obj, Resources{}, nil
	if obj == nil {
		return &c
	}
	c.Allocatable = resourcesOf(obj.Status.Allocatable)
	c.Images = make(map[string]int64, 2*len(obj.Status.Images))
	for _, image := range obj.Status.Images {
		for _, name := range image.Names {
			c.Images[normalizedImage(name)] = image.SizeBytes
		}
	}
	return &c
}

// WithPod returns the node with pod added.
func (n *Node) WithPod(pod *Pod) *Node { return n.with(pod, 1) }

// WithPods returns the node with many pods added: one copy for all of them.
func (n *Node) WithPods(list []*corev1.Pod) *Node {
	c := *n
	c.Ports = maps.Clone(c.Ports)
	var p Pod
	for _, pod := range list {
		p = Pod{Pod: pod}
		p.take()
		c.Requested.Add(&p.Requests, 1)
		c.Assumed.Add(&p.Assumed, 1)
		c.count(p.Ports, 1)
	}
	return &c
}

// count counts host ports in a copy's own map.
func (n *Node) count(ports []Port, sign int) {
	if n.Ports == nil && len(ports) > 0 {
		n.Ports = map[Port]int{}
	}
	for _, p := range ports {
		if n.Ports[p] += sign; n.Ports[p] <= 0 {
			delete(n.Ports, p)
		}
	}
}

// WithoutPod returns the node with pod, which must be on it, taken away.
func (n *Node) WithoutPod(pod *Pod) *Node { return n.with(pod, -1) }

func (n *Node) with(pod *Pod, sign int) *Node {
	c := *n
	c.Requested.plus(&pod.Requests, int64(sign))
	c.Assumed.plus(&pod.Assumed, int64(sign))
	if len(pod.Ports) > 0 {
		c.Ports = maps.Clone(c.Ports)
		c.count(pod.Ports, sign)
	}
	return &c
}

// Empty reports whether no pod is on the node.
func (n *Node) Empty() bool { return n.Requested.Pods == 0 }

// Known reports whether the node's object is there, so that pods may be put on it.
func (n *Node) Known() bool { return n.Node != nil }
