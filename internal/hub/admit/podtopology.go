package admit

import (
	"context"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// podTopologyLabels tells a pod by labels in which zone and region it has been placed.
type podTopologyLabels struct{ look lookup }

func (*podTopologyLabels) Name() string { return "PodTopologyLabels" }

func (p *podTopologyLabels) Admit(ctx context.Context, a *Attributes) error {
	if a.Operation != Create || a.Kind.Group != "" {
		return nil
	}
	switch o := a.Object.(type) {
	case *corev1.Binding:
		if o.Target.Kind != "Node" {
			return nil
		}
		return p.copy(ctx, o.Target.Name, &o.Labels)
	case *corev1.Pod:
		if a.Subresource != "" || o.Spec.NodeName == "" {
			return nil
		}
		return p.copy(ctx, o.Spec.NodeName, &o.Labels)
	}
	return nil
}

func (p *podTopologyLabels) copy(ctx context.Context, nodeName string, to *map[string]string) error {
	node, err := find[*corev1.Node](ctx, p.look, client.Nodes, "", nodeName)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion} {
		if v, ok := node.Labels[key]; ok {
			if *to == nil {
				*to = map[string]string{}
			}
			(*to)[key] = v
		}
	}
	return nil
}
