package plugin

import (
	"maps"
)

// NodeAffinity is the pod's nodeSelector and node affinity.
type NodeAffinity struct{ static }

// Name implements Plugin.
func (NodeAffinity) Name() string { return "NodeAffinity" }

// Filter implements Filter.
func (NodeAffinity) Filter(pod *Pod, node *Node) []string {
	if !pod.selective {
		return nil
	}
	if ok, _ := pod.required.Match(node.Node); !ok {
		return []string{"node(s) didn't match Pod's node affinity/selector"}
	}
	return nil
}

// Score implements Score: the summed weights of the preferred terms that the node matches.
func (NodeAffinity) Score(pod *Pod, node *Node, _ Cluster) int64 {
	if pod.preferred == nil {
		return 0
	}
	return pod.preferred.Score(node.Node)
}

// Normalize implements Score.
func (NodeAffinity) Normalize(raw, _, most int64) int64 { return stretched(raw, most) }

// Helps implements Plugin.
func (p NodeAffinity) Helps(pod *Pod, c Change) bool {
	switch c.Kind {
	case NodeAdded:
		return p.Filter(pod, c.Node) == nil
	case NodeChanged:
		return !maps.Equal(c.Old.Labels, c.Node.Labels) && p.Filter(pod, c.Node) == nil
	}
	return c.Kind == PodUpdated
}
