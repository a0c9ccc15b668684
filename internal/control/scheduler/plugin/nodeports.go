package plugin

// NodePorts keeps two pods from wanting the same port of a host.
type NodePorts struct{}

var portTaken = Unschedulable("node(s) didn't have free ports for the requested pod ports")

// Name implements Plugin.
func (NodePorts) Name() string { return "NodePorts" }

// Sign implements Signed.
func (NodePorts) Sign(s *Signer) { s.Ports() }

// Filter implements Filter.
func (NodePorts) Filter(pod *Pod, node *Node) Verdict {
	for _, want := range pod.Ports {
		if conflicts(want, node.Ports) {
			return portTaken
		}
	}
	return Verdict{}
}

// conflicts: the same port and protocol on the same address, or on every address on either side.
func conflicts(want Port, used map[Port]int) bool {
	if used[want] > 0 {
		return true
	}
	if want.IP != "0.0.0.0" {
		want.IP = "0.0.0.0"
		return used[want] > 0
	}
	for p := range used {
		if p.Port == want.Port && p.Protocol == want.Protocol {
			return true
		}
	}
	return false
}

// Events implements Rejecting.
func (NodePorts) Events() Event { return NodeAdded | PodLeft }

// Helps implements Rejecting.
func (NodePorts) Helps(pod *Pod, c Change) bool {
	if c.Event == NodeAdded {
		return true
	}
	for _, freed := range c.Pod.Ports {
		for _, want := range pod.Ports {
			if freed.Port == want.Port && freed.Protocol == want.Protocol {
				return true
			}
		}
	}
	return false
}
