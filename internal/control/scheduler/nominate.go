package scheduler

import (
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// nominations are the pods for which a PostFilter is making room, by the node where. Until it is placed, such a pod holds its
// room against pods of lower priority, and of its own: a node fits those only if it fits beside the nominated pods too. There
// are few at a time.
type nominations struct {
	byNode map[string][]*plugin.Pod
	node   map[types.UID]string
	awaits map[types.UID]map[types.UID]bool // whose leaving a pod waits for; of room made by an earlier scheduler nothing is known
	told   func(node string)                // is called when a node's nominations change; nil: nobody
}

func (n *nominations) set(pod *plugin.Pod, node string) {
	n.drop(pod.UID)
	if n.node == nil {
		n.node, n.byNode = map[types.UID]string{}, map[string][]*plugin.Pod{}
	}
	n.node[pod.UID] = node
	n.byNode[node] = append(n.byNode[node], pod)
	if n.told != nil {
		n.told(node)
	}
}

// await notes that a pod that is nominated has room once all of these have gone.
func (n *nominations) await(uid types.UID, victims []types.UID) {
	if len(victims) == 0 {
		return
	}
	if n.awaits == nil {
		n.awaits = map[types.UID]map[types.UID]bool{}
	}
	n.awaits[uid] = map[types.UID]bool{}
	for _, v := range victims {
		n.awaits[uid][v] = true
	}
}

// left takes in that a pod has left the node that another is nominated for, and reports whether the other waits for no further one.
func (n *nominations) left(waits, gone types.UID) bool {
	delete(n.awaits[waits], gone)
	return len(n.awaits[waits]) == 0
}

// drop ends a pod's nomination and returns for which node it was, "" for none.
func (n *nominations) drop(uid types.UID) string {
	node, was := n.node[uid]
	if !was {
		return ""
	}
	delete(n.node, uid)
	delete(n.awaits, uid)
	var rest []*plugin.Pod
	for _, p := range n.byNode[node] {
		if p.UID != uid {
			rest = append(rest, p)
		}
	}
	if n.byNode[node] = rest; len(rest) == 0 {
		delete(n.byNode, node)
	}
	if n.told != nil {
		n.told(node)
	}
	return node
}

// endNomination drops a pod's nomination, for the pod has gone or comes to node ("" for neither); the room that it held
// elsewhere is free.
func (s *Scheduler) endNomination(pod *plugin.Pod, node string) {
	if was := s.snapshot.nominated.drop(pod.UID); was != "" && was != node {
		s.notify(plugin.PodLeft, was, pod)
	}
}

// admit is filter, with the nominated pods of the node counted as if they were there.
func (p *profile) admit(pod *plugin.Pod, node *plugin.Node, s *snapshot) (plugin.Filter, plugin.Verdict) {
	by, v := p.filter(pod, node)
	if by != nil || len(s.nominated.node) == 0 {
		return by, v
	}
	return p.besideNominated(pod, node, s)
}

func (p *profile) besideNominated(pod *plugin.Pod, node *plugin.Node, s *snapshot) (by plugin.Filter, v plugin.Verdict) {
	var held []*plugin.Pod
	for _, other := range s.nominated.byNode[node.Name] {
		if other.UID != pod.UID && priority(other) >= priority(pod) {
			held = append(held, other)
		}
	}
	if len(held) == 0 {
		return nil, v
	}
	for _, other := range held {
		node = node.WithPod(other)
		p.suppose(other, node, +1)
	}
	by, v = p.filter(pod, node)
	for _, other := range held {
		node = node.WithoutPod(other)
		p.suppose(other, node, -1)
	}
	return by, v
}

// nominated returns the node that is being made free for pod, if the pod fits there now.
func (p *profile) nominated(pod *plugin.Pod, s *snapshot) string {
	name := s.nominated.node[pod.UID]
	if i, there := s.place[name]; name != "" && there {
		if by, _ := p.admit(pod, s.nodes[i], s); by == nil {
			return name
		}
	}
	return ""
}
