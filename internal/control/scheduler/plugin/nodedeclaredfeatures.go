package plugin

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/version"
	ndf "k8s.io/component-helpers/nodedeclaredfeatures"
)

// NodeDeclaredFeatures keeps pods off nodes whose kubelet does not declare a feature that they need.
type NodeDeclaredFeatures struct{ static }

var (
	undeclared = Unresolvable("node(s) didn't match Pod's required features")
	// asOf is the version whose features may be asked for.
	asOf = version.MustParseSemantic("1.37.1")
)

// Name implements Plugin.
func (NodeDeclaredFeatures) Name() string { return "NodeDeclaredFeatures" }

// Sign implements Signed.
func (p NodeDeclaredFeatures) Sign(s *Signer) {
	if needs := s.Pod().features; len(needs) > 0 {
		s.Own(p.Name(), needs...)
	}
}

// featuresOf returns the features of kubelets that a pod needs, sorted; those that cannot be told are none.
func featuresOf(pod *Pod) []string {
	needs, err := ndf.DefaultFramework.InferForPodScheduling(&ndf.PodInfo{Spec: &pod.Spec}, asOf)
	if err != nil || needs.IsEmpty() {
		return nil
	}
	names, err := ndf.DefaultFramework.Unmap(needs)
	if err != nil {
		return nil
	}
	return names
}

// Filter implements Filter.
func (NodeDeclaredFeatures) Filter(pod *Pod, node *Node) Verdict {
	for _, need := range pod.features {
		if !slices.Contains(node.Status.DeclaredFeatures, need) {
			return undeclared
		}
	}
	return Verdict{}
}

// Events implements Rejecting.
func (NodeDeclaredFeatures) Events() Event { return NodeAdded | NodeFeatures | PodUpdated }

// Helps implements Rejecting.
func (p NodeDeclaredFeatures) Helps(pod *Pod, c Change) bool {
	return c.Event&PodUpdated != 0 || p.Filter(pod, c.Node).Fits()
}
