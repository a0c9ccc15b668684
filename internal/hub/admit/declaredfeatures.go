package admit

import (
	"context"
	"strings"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/version"
	ndf "k8s.io/component-helpers/nodedeclaredfeatures"
)

// declaredFeatures refuses updates of a pod that runs which take a feature of the kubelet that its node does not declare.
type declaredFeatures struct{ look lookup }

// asOf is the version whose features may be asked for.
var asOf = version.MustParseSemantic("1.37.1")

func (*declaredFeatures) Name() string { return "NodeDeclaredFeatureValidator" }

func (p *declaredFeatures) Validate(ctx context.Context, a *Attributes) error {
	if a.Operation != Update || !a.is("", "pods", "") && !a.is("", "pods", "resize") {
		return nil
	}
	pod, ok := a.Object.(*corev1.Pod)
	old, was := a.Old.(*corev1.Pod)
	if !ok || !was || pod.Spec.NodeName == "" || pod.Generation == old.Generation {
		return nil
	}
	wants, err := ndf.DefaultFramework.InferForPodUpdate(&ndf.PodInfo{Spec: &old.Spec, Status: &old.Status}, &ndf.PodInfo{Spec: &pod.Spec, Status: &pod.Status}, asOf)
	if err != nil {
		return forbidden(a, "failed to infer pod capability requirements: %w", err)
	}
	if wants.IsEmpty() {
		return nil
	}
	node, err := find[*corev1.Node](ctx, p.look, client.Nodes, "", pod.Spec.NodeName)
	if apierrors.IsNotFound(err) {
		return forbidden(a, "node %q not found", pod.Spec.NodeName)
	}
	if err != nil {
		return forbidden(a, "failed to get node %q: %w", pod.Spec.NodeName, err)
	}
	match, err := ndf.DefaultFramework.MatchNode(wants, node)
	if err != nil {
		return forbidden(a, "failed to match pod requirements against node %q: %w", node.Name, err)
	}
	if !match.IsMatch {
		return forbidden(a, "pod update requires features %s which are not available on node %q", strings.Join(match.UnsatisfiedRequirements, ", "), node.Name)
	}
	return nil
}
