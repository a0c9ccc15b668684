package network

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// reasonUnreached is the reason of the event that names the nodes whose pods this node has no route to.
const reasonUnreached = "PodsUnreachable"

// unreached remembers what err, of the routes, says. Pods are reached by routes alone, so those of a node behind a gateway cannot be;
// the log and an event tell so when it begins or changes, and not again at each change of some node.
func (n *Network) unreached(err error) {
	text := ""
	if err != nil {
		text = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	n.mu.Lock()
	was := n.mu.astray
	n.mu.astray = text
	n.mu.Unlock()
	switch {
	case text == was:
		return
	case text == "":
		n.log.Info("all nodes' pods are reachable")
	default:
		n.log.Warn("not all nodes' pods are reachable", "err", text)
	}
	signal(n.filters)
}

// tellUnreached records the event, which is this goroutine's to do, as all events of the network are.
func (f *filters) tellUnreached() {
	f.n.mu.Lock()
	text := f.n.mu.astray
	f.n.mu.Unlock()
	if text == f.astray {
		return
	}
	f.astray = text
	if text != "" {
		f.tell(corev1.EventTypeWarning, reasonUnreached, "pods here and there do not reach each other: "+text)
	}
}
