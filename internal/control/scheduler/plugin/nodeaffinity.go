package plugin

// NodeAffinity is the pod's nodeSelector and node affinity.
type NodeAffinity struct{ static }

var notSelected = Unresolvable("node(s) didn't match Pod's node affinity/selector")

// Name implements Plugin.
func (NodeAffinity) Name() string { return "NodeAffinity" }

// Sign implements Signed.
func (NodeAffinity) Sign(s *Signer) {
	s.NodeSelector()
	s.NodeAffinity()
}

// Filter implements Filter.
func (NodeAffinity) Filter(pod *Pod, node *Node) Verdict {
	if !pod.selective {
		return Verdict{}
	}
	if ok, _ := pod.required.Match(node.Node); !ok {
		return notSelected
	}
	return Verdict{}
}

// Score implements Score: the summed weights of the preferred terms that the node matches.
func (NodeAffinity) Score(pod *Pod, node *Node) int64 {
	if pod.preferred == nil {
		return 0
	}
	return pod.preferred.Score(node.Node)
}

// Normalize implements Score.
func (NodeAffinity) Normalize(raw, _, most int64) int64 { return stretched(raw, most) }

// Events implements Rejecting.
func (NodeAffinity) Events() Event { return NodeAdded | NodeLabel | PodUpdated }

// Helps implements Rejecting.
func (p NodeAffinity) Helps(pod *Pod, c Change) bool {
	return c.Event == PodUpdated || p.Filter(pod, c.Node).Fits()
}
