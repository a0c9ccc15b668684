package volumes

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

var errNoTerm = errors.New("no matching NodeSelectorTerms")

// OnNode tells why a volume cannot be reached from a node by its node affinity; nil if it can.
func OnNode(pv *corev1.PersistentVolume, node *corev1.Node) error {
	a := pv.Spec.NodeAffinity
	if a == nil || a.Required == nil {
		return nil
	}
	matches, err := nodeaffinity.NewLazyErrorNodeSelector(a.Required).Match(node)
	if err == nil && !matches {
		return errNoTerm
	}
	return err
}

// Allowed reports whether volumes of a class with these topologies may be made for a node with these labels. No terms allow all.
func Allowed(terms []corev1.TopologySelectorTerm, labels map[string]string) bool {
	return len(terms) == 0 || slices.ContainsFunc(terms, func(t corev1.TopologySelectorTerm) bool {
		if len(t.MatchLabelExpressions) == 0 {
			return false
		}
		for _, e := range t.MatchLabelExpressions {
			value, ok := labels[e.Key]
			if !ok || !slices.Contains(e.Values, value) {
				return false
			}
		}
		return true
	})
}
