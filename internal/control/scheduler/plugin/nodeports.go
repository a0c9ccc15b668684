package plugin

// NodePorts keeps two pods from wanting the same port of a host.
type NodePorts struct{}

// Name implements Plugin.
func (NodePorts) Name() string { return "NodePorts" }

// Filter implements Filter.
func (NodePorts) Filter(pod *Pod, node *Node) []string {
	for _, want := range pod.Ports {
		if conflicts(want, node.Ports) {
			return []string{"node(s) didn't have free ports for the requested pod ports"}
		}
	}
	return nil
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

// Helps implements Plugin.
func (NodePorts) Helps(pod *Pod, c Change) bool {
	switch c.Kind {
	case NodeAdded:
		return true
	case PodLeft:
		for _, freed := range c.Pod.Ports {
			for _, want := range pod.Ports {
				if freed.Port == want.Port && freed.Protocol == want.Protocol {
					return true
				}
			}
		}
	}
	return false
}
