package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// snapshot is the nodes as the scheduler sees them: what informers said, plus the pods it has assumed. It is changed one
// node at a time, in place, between cycles; the nodes themselves are immutable. Every change of a node is noted in its journal
// (changes), and every index is told of it. It belongs to the scheduler's goroutine.
type snapshot struct {
	byName map[string]*plugin.Node
	nodes  []*plugin.Node // those whose object is known, in no order that means anything
	place  map[string]int // name -> index in nodes
	placed map[types.UID]placement
	start  int // where the next cycle that looks at nodes one by one begins, so that they take turns

	indexes   []plugin.Index   // of all profiles
	watchers  []plugin.Watcher // of them
	nominated nominations

	// changes are the indexes in nodes at which something changed, in order. floor is how many there were before
	// changes[0]; the oldest are forgotten.
	changes []int32
	floor   int
}

// placement is where a pod is, or is assumed to be.
type placement struct {
	pod  *plugin.Pod
	node string
}

// newSnapshot returns an empty snapshot that tells the indexes of these profiles of its changes.
func newSnapshot(profiles ...*profile) *snapshot {
	s := &snapshot{byName: map[string]*plugin.Node{}, place: map[string]int{}, placed: map[types.UID]placement{}}
	for _, p := range profiles {
		for _, x := range p.indexes {
			s.indexes = append(s.indexes, x)
			if surveyor, ok := x.(plugin.Surveyor); ok {
				surveyor.Placed(s.everyPod)
			}
			if watcher, ok := x.(plugin.Watcher); ok {
				s.watchers = append(s.watchers, watcher)
			}
			if looker, ok := x.(plugin.Looker); ok {
				looker.Lookup(func(uid types.UID) *plugin.Pod { return s.placed[uid].pod })
			}
		}
	}
	s.nominated.told = s.touch
	return s
}

// touch tells the watchers that something has changed about a node.
func (s *snapshot) touch(node string) {
	for _, w := range s.watchers {
		w.Touched(node)
	}
}

// setNode takes a new version of a node's object, nil when it is gone, and returns the node before and after.
func (s *snapshot) setNode(name string, obj *corev1.Node) (before, after *plugin.Node) {
	before = s.byName[name]
	base := before
	if base == nil {
		base = plugin.NewNode(name)
	}
	after = base.With(obj)
	s.put(after)
	for _, x := range s.indexes {
		x.Node(base, after)
	}
	return before, after
}

// addPod puts pod on a node, in the place of what is known by its UID. A new version that needs just what the old one did
// changes no node.
func (s *snapshot) addPod(node string, pod *plugin.Pod) {
	old, was := s.placed[pod.UID]
	if was && old.node == node && old.pod.SameNeeds(pod) {
		s.placed[pod.UID] = placement{pod, node}
		s.touch(node)
		if len(s.indexes) > 0 && !old.pod.SameMarks(pod) {
			s.tell(old.pod, s.byName[node], -1)
			s.tell(pod, s.byName[node], +1)
			if i, listed := s.place[node]; listed {
				s.note(i)
			}
		}
		return
	}
	if was {
		s.removePod(pod.UID)
	}
	n := s.byName[node]
	if n == nil {
		n = plugin.NewNode(node)
	}
	s.placed[pod.UID] = placement{pod, node}
	n = n.WithPod(pod)
	s.put(n)
	s.tell(pod, n, +1)
}

// removePod takes a pod off its node and returns where it was.
func (s *snapshot) removePod(uid types.UID) (at placement, was bool) {
	if at, was = s.placed[uid]; !was {
		return at, false
	}
	delete(s.placed, uid)
	n := s.byName[at.node].WithoutPod(at.pod)
	s.put(n)
	s.tell(at.pod, n, -1)
	return at, true
}

// everyPod iterates over all pods on nodes, with the nodes' names.
func (s *snapshot) everyPod(yield func(*plugin.Pod, string) bool) {
	for _, at := range s.placed {
		if !yield(at.pod, at.node) {
			return
		}
	}
}

// tell lets the indexes know of a pod that was put on a node or taken off.
func (s *snapshot) tell(pod *plugin.Pod, node *plugin.Node, sign int) {
	for _, x := range s.indexes {
		x.Pod(pod, node, sign)
	}
}

// put stores a node's new version and keeps the list of known nodes dense.
func (s *snapshot) put(n *plugin.Node) {
	i, listed := s.place[n.Name]
	switch {
	case n.Known() && listed:
		s.nodes[i] = n
		s.note(i)
	case n.Known():
		s.place[n.Name] = len(s.nodes)
		s.note(len(s.nodes))
		s.nodes = append(s.nodes, n)
	case listed:
		last := len(s.nodes) - 1
		s.nodes[i] = s.nodes[last]
		s.place[s.nodes[i].Name] = i
		s.nodes[last] = nil
		s.nodes = s.nodes[:last]
		delete(s.place, n.Name)
		s.note(i)
		s.note(last)
	}
	if !n.Known() && n.Empty() {
		delete(s.byName, n.Name)
		return
	}
	s.byName[n.Name] = n
}

// note remembers that something changed at an index. More changes than there are nodes are not worth following up.
func (s *snapshot) note(i int) {
	if len(s.changes) >= 2*len(s.nodes)+64 {
		half := len(s.changes) / 2
		s.changes = append(s.changes[:0], s.changes[half:]...)
		s.floor += half
	}
	s.changes = append(s.changes, int32(i))
}

// changed counts the changes there have been.
func (s *snapshot) changed() int { return s.floor + len(s.changes) }

// since returns the indexes that have changed since there were n changes; false when that is too long ago.
func (s *snapshot) since(n int) ([]int32, bool) {
	if n < s.floor {
		return nil, false
	}
	return s.changes[n-s.floor:], true
}
