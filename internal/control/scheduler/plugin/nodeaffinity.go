package plugin

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// NodeAffinity is the pod's nodeSelector and node affinity, and what the profile adds for all its pods.
type NodeAffinity struct {
	static
	required  *nodeaffinity.NodeSelector             // that is added; nil: none
	preferred *nodeaffinity.PreferredSchedulingTerms // that are added; nil: none
}

// NewNodeAffinity returns one that adds an affinity to that of every pod (upstream's addedAffinity).
func NewNodeAffinity(added corev1.NodeAffinity) (p NodeAffinity, err error) {
	if r := added.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		if p.required, err = nodeaffinity.NewNodeSelector(r); err != nil {
			return p, err
		}
	}
	if terms := added.PreferredDuringSchedulingIgnoredDuringExecution; len(terms) > 0 {
		p.preferred, err = nodeaffinity.NewPreferredSchedulingTerms(terms)
	}
	return p, err
}

var notEnforced = Unresolvable("node(s) didn't match scheduler-enforced node affinity")

var notSelected = Unresolvable("node(s) didn't match Pod's node affinity/selector")

// Name implements Plugin.
func (NodeAffinity) Name() string { return "NodeAffinity" }

// Sign implements Signed.
func (NodeAffinity) Sign(s *Signer) {
	s.NodeSelector()
	s.NodeAffinity()
}

// Filter implements Filter.
func (p NodeAffinity) Filter(pod *Pod, node *Node) Verdict {
	if p.required != nil && !p.required.Match(node.Node) {
		return notEnforced
	}
	if !pod.selective {
		return Verdict{}
	}
	if ok, _ := pod.required.Match(node.Node); !ok {
		return notSelected
	}
	return Verdict{}
}

// Score implements Score: the summed weights of the preferred terms that the node matches.
func (p NodeAffinity) Score(pod *Pod, node *Node) int64 {
	var sum int64
	if pod.preferred != nil {
		sum = pod.preferred.Score(node.Node)
	}
	if p.preferred != nil {
		sum += p.preferred.Score(node.Node)
	}
	return sum
}

// Normalize implements Score.
func (NodeAffinity) Normalize(raw, _, most int64) int64 { return stretched(raw, most) }

// Events implements Rejecting.
func (NodeAffinity) Events() Event { return NodeAdded | NodeLabel | PodUpdated }

// Helps implements Rejecting.
func (p NodeAffinity) Helps(pod *Pod, c Change) bool {
	return c.Event == PodUpdated || p.Filter(pod, c.Node).Fits()
}
