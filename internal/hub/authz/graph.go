package authz

import (
	"sync"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
)

// claimsResource is the plural of the claims that lead from pods to volumes.
const claimsResource = "persistentvolumeclaims"

// vertex is an object that pods name: resource is the plural name ("secrets"), which is unique among the kinds here.
type vertex struct{ resource, namespace, name string }

// graph counts, for each object and node, the references from pods of the node to the object.
//
// The pod informer's handler is its only writer. Counts are enough, and no sets of pods are needed: when a pod changes or goes, the
// references of its last state are computed again and subtracted. No count is below zero, and none that is zero is kept.
type graph struct {
	mu struct {
		sync.RWMutex
		nodes map[vertex]map[string]int
	}
}

func newGraph() *graph {
	g := &graph{}
	g.mu.nodes = map[vertex]map[string]int{}
	return g
}

func (g *graph) related(v vertex, node string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.nodes[v][node] > 0
}

// claims are the claims that pods of a node name.
func (g *graph) claims(node string) []vertex {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var out []vertex
	for v, nodes := range g.mu.nodes {
		if v.resource == claimsResource && nodes[node] > 0 {
			out = append(out, v)
		}
	}
	return out
}

func (g *graph) setPod(old, pod *corev1.Pod) {
	if old != nil && pod != nil && sameReferences(old, pod) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if old != nil {
		g.countLocked(old, -1)
	}
	if pod != nil {
		g.countLocked(pod, 1)
	}
}

// sameReferences: of what a bound pod names, only ephemeral containers and resource claims can change.
func sameReferences(a, b *corev1.Pod) bool {
	return a.UID == b.UID && a.Spec.NodeName == b.Spec.NodeName && len(a.Spec.EphemeralContainers) == len(b.Spec.EphemeralContainers) &&
		len(a.Status.ResourceClaimStatuses) == len(b.Status.ResourceClaimStatuses)
}

func (g *graph) countLocked(pod *corev1.Pod, by int) {
	node := pod.Spec.NodeName
	if node == "" {
		return
	}
	for v := range references(pod) {
		nodes := g.mu.nodes[v]
		if nodes == nil {
			nodes = map[string]int{}
			g.mu.nodes[v] = nodes
		}
		if nodes[node] += by; nodes[node] <= 0 {
			if delete(nodes, node); len(nodes) == 0 {
				delete(g.mu.nodes, v)
			}
		}
	}
}

// references are the objects whose reading a pod gives its node. A mirror pod gives none but itself: a node writes it, and
// could name what it pleased.
func references(pod *corev1.Pod) map[vertex]struct{} {
	out := map[vertex]struct{}{}
	add := func(resource, name string) { out[vertex{resource, pod.Namespace, name}] = struct{}{} }
	add("pods", pod.Name)
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return out
	}
	pods.References(pod, add)
	return out
}
