package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// snapshot is the nodes as the scheduler sees them: what informers said, plus the pods it has assumed. It is changed one
// node at a time, in place, between cycles; the nodes themselves are immutable.
type snapshot struct {
	byName map[string]*plugin.Node
	nodes  []*plugin.Node // those whose object is known, in no order that means anything
	place  map[string]int // name -> index in nodes
	images map[string]int // normalized image name -> nodes that have it
	start  int            // where the next cycle begins to look, so that nodes take turns
}

func newSnapshot() *snapshot {
	return &snapshot{byName: map[string]*plugin.Node{}, place: map[string]int{}, images: map[string]int{}}
}

// setNode takes a new version of a node's object, nil when it is gone, and returns the node before and after.
func (s *snapshot) setNode(name string, obj *corev1.Node) (before, after *plugin.Node) {
	before = s.byName[name]
	base := before
	if base == nil {
		base = plugin.NewNode(name)
	}
	after = base.With(obj)
	s.countImages(base, -1)
	s.countImages(after, +1)
	s.put(after)
	return before, after
}

func (s *snapshot) countImages(n *plugin.Node, by int) {
	for image := range n.Images {
		if s.images[image] += by; s.images[image] <= 0 {
			delete(s.images, image)
		}
	}
}

func (s *snapshot) addPod(node string, pod *plugin.Pod) {
	n := s.byName[node]
	if n == nil {
		n = plugin.NewNode(node)
	}
	s.put(n.WithPod(pod))
}

func (s *snapshot) removePod(node string, uid types.UID) *plugin.Node {
	n := s.byName[node]
	if n == nil {
		return nil
	}
	n = n.WithoutPod(uid)
	s.put(n)
	return n
}

// put stores a node's new version and keeps the list of known nodes dense.
func (s *snapshot) put(n *plugin.Node) {
	i, listed := s.place[n.Name]
	switch {
	case n.Known() && listed:
		s.nodes[i] = n
	case n.Known():
		s.place[n.Name] = len(s.nodes)
		s.nodes = append(s.nodes, n)
	case listed:
		last := len(s.nodes) - 1
		s.nodes[i] = s.nodes[last]
		s.place[s.nodes[i].Name] = i
		s.nodes = s.nodes[:last]
		delete(s.place, n.Name)
	}
	if !n.Known() && len(n.Pods) == 0 {
		delete(s.byName, n.Name)
		return
	}
	s.byName[n.Name] = n
}
