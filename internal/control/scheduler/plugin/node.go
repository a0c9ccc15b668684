package plugin

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Node is a node with the pods that run, or are about to run, on it. It is immutable: With, WithPod and WithoutPod return
// changed copies that share what did not change.
type Node struct {
	*corev1.Node // nil while only its pods are known
	Name         string
	Allocatable  Resources
	Requested    Resources // sum over Pods
	Assumed      Resources // the same with missing requests filled in, for scoring
	Ports        map[Port]int
	Images       map[string]int64 // normalized name -> bytes
	Pods         map[types.UID]*Pod
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

// WithPod returns the node with pod added, or replaced if one with its UID is there.
func (n *Node) WithPod(pod *Pod) *Node {
	c := *n
	if _, there := n.Pods[pod.UID]; there {
		c = *n.WithoutPod(pod.UID)
	}
	c.Pods = maps.Clone(c.Pods)
	if c.Pods == nil {
		c.Pods = map[types.UID]*Pod{}
	}
	c.Pods[pod.UID] = pod
	c.Requested.plus(pod.Requests, 1)
	c.Assumed.plus(pod.Assumed, 1)
	if len(pod.Ports) > 0 {
		c.Ports = maps.Clone(c.Ports)
		if c.Ports == nil {
			c.Ports = map[Port]int{}
		}
		for _, p := range pod.Ports {
			c.Ports[p]++
		}
	}
	return &c
}

// WithoutPod returns the node with the pod of that UID taken away.
func (n *Node) WithoutPod(uid types.UID) *Node {
	pod, there := n.Pods[uid]
	if !there {
		return n
	}
	c := *n
	c.Pods = maps.Clone(n.Pods)
	delete(c.Pods, uid)
	c.Requested.plus(pod.Requests, -1)
	c.Assumed.plus(pod.Assumed, -1)
	if len(pod.Ports) > 0 {
		c.Ports = maps.Clone(n.Ports)
		for _, p := range pod.Ports {
			if c.Ports[p]--; c.Ports[p] <= 0 {
				delete(c.Ports, p)
			}
		}
	}
	return &c
}

// Known reports whether the node's object is there, so that pods may be put on it.
func (n *Node) Known() bool { return n.Node != nil }
