package plugin

// NodeName lets a pod that names its node run nowhere else.
type NodeName struct{ static }

// Name implements Plugin.
func (NodeName) Name() string { return "NodeName" }

// Filter implements Filter.
func (NodeName) Filter(pod *Pod, node *Node) []string {
	if pod.Spec.NodeName != "" && pod.Spec.NodeName != node.Name {
		return []string{"node(s) didn't match the requested node name"}
	}
	return nil
}

// Helps implements Plugin.
func (NodeName) Helps(pod *Pod, c Change) bool {
	return c.Kind == NodeAdded && c.Node.Name == pod.Spec.NodeName
}
