package plugin

// NodeName lets a pod that names its node run nowhere else.
type NodeName struct{ static }

var otherNode = Unresolvable("node(s) didn't match the requested node name")

// Name implements Plugin.
func (NodeName) Name() string { return "NodeName" }

// Sign implements Signed.
func (NodeName) Sign(s *Signer) { s.NodeName() }

// Filter implements Filter.
func (NodeName) Filter(pod *Pod, node *Node) Verdict {
	if pod.Spec.NodeName != "" && pod.Spec.NodeName != node.Name {
		return otherNode
	}
	return Verdict{}
}

// Events implements Rejecting.
func (NodeName) Events() Event { return NodeAdded }

// Helps implements Rejecting.
func (NodeName) Helps(pod *Pod, c Change) bool { return c.Node.Name == pod.Spec.NodeName }
