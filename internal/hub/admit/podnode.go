package admit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// The plugins of this file look at the node that a pod is on or comes to.

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

// podResize refuses to give a pod that has a node more than the node has altogether, and resizes on nodes that are not Linux. What
// other pods of the node use is not looked at: the kubelet defers a resize that does not fit now.
type podResize struct{ look lookup }

func (*podResize) Name() string { return "PodResizeValidator" }

func (p *podResize) Validate(ctx context.Context, a *Attributes) error {
	if a.Operation != Update || !a.is("", "pods", "resize") {
		return nil
	}
	pod, old := a.Object.(*corev1.Pod), a.Old.(*corev1.Pod)
	if pod.Spec.NodeName == "" || pod.Generation == old.Generation {
		return nil
	}
	node, err := find[*corev1.Node](ctx, p.look, client.Nodes, "", pod.Spec.NodeName)
	switch {
	case apierrors.IsNotFound(err):
		return forbidden(a, "node %q not found", pod.Spec.NodeName)
	case err != nil:
		return forbidden(a, "failed to get node %q: %w", pod.Spec.NodeName, err)
	}
	if os, ok := node.Labels[corev1.LabelOSStable]; ok && os != "linux" {
		return causedBy("UnsupportedPlatform", forbidden(a, "pod resize is only supported on linux nodes, node %q is %q", node.Name, os))
	}
	if lacks := lacking(pod, node.Status.Allocatable); lacks != "" {
		return causedBy("NodeCapacity", forbidden(a, "node didn't have enough allocatable resources: %s", lacks))
	}
	return nil
}

// lacking says of which resources the pod requests more than is allocatable; "" for none.
func lacking(pod *corev1.Pod, allocatable corev1.ResourceList) string {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	var out []string
	if want, have := requests.Cpu(), allocatable.Cpu(); want.Cmp(*have) > 0 {
		out = append(out, fmt.Sprintf("cpu, requested: %d, allocatable: %d", want.MilliValue(), have.MilliValue()))
	}
	if want, have := requests.Memory(), allocatable.Memory(); want.Cmp(*have) > 0 {
		out = append(out, fmt.Sprintf("memory, requested: %d, allocatable: %d", want.Value(), have.Value()))
	}
	return strings.Join(out, "; ")
}

// causedBy adds a cause to a refusal.
func causedBy(cause metav1.CauseType, err error) error {
	var refusal *apierrors.StatusError
	if errors.As(err, &refusal) {
		refusal.ErrStatus.Details.Causes = append(refusal.ErrStatus.Details.Causes, metav1.StatusCause{Type: cause})
	}
	return err
}
