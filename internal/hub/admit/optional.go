package admit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"sampan.dev/internal/api/valid"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
)

// The plugins below are off by default. Their words are upstream's (plugin/pkg/admission).

// alwaysAdmit lets everything pass, and alwaysDeny nothing.
type alwaysAdmit struct{}

func (alwaysAdmit) Name() string { return "AlwaysAdmit" }

type alwaysDeny struct{}

func (alwaysDeny) Name() string { return "AlwaysDeny" }

func (alwaysDeny) Validate(_ context.Context, a *Attributes) error {
	return forbidden(a, "admission control is denying all modifications")
}

// namespaceExists refuses every write in a namespace that there is not, updates and deletions too.
type namespaceExists struct{ look lookup }

func (*namespaceExists) Name() string { return "NamespaceExists" }

func (p *namespaceExists) Validate(ctx context.Context, a *Attributes) error {
	if a.Namespace == "" || a.Kind.OwnNamespace || a.Operation == Connect {
		return nil
	}
	_, err := find[*corev1.Namespace](ctx, p.look, client.Namespaces, "", a.Namespace)
	if err != nil && !apierrors.IsNotFound(err) {
		return apierrors.NewInternalError(err)
	}
	return err
}

// hardAntiAffinity keeps pods from keeping others away from more than one node.
type hardAntiAffinity struct{}

func (hardAntiAffinity) Name() string { return "LimitPodHardAntiAffinityTopology" }

func (hardAntiAffinity) Validate(_ context.Context, a *Attributes) error {
	pod := writtenPod(a)
	if pod == nil || pod.Spec.Affinity == nil || pod.Spec.Affinity.PodAntiAffinity == nil {
		return nil
	}
	for _, t := range pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		if t.TopologyKey != corev1.LabelHostname {
			return apierrors.NewForbidden(a.Kind.GR(), pod.Name, fmt.Errorf(
				"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey %v but only key %v is allowed", t.TopologyKey, corev1.LabelHostname))
		}
	}
	return nil
}

// writtenPod is the pod of a create or update of the main resource; nil for any other write.
func writtenPod(a *Attributes) *corev1.Pod {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !a.is("", "pods", "") || a.Operation != Create && a.Operation != Update {
		return nil
	}
	return pod
}

// extendedTolerations lets pods that ask for an extended resource onto nodes that are kept for it by a taint of its name.
type extendedTolerations struct{}

func (extendedTolerations) Name() string { return "ExtendedResourceToleration" }

func (extendedTolerations) Admit(_ context.Context, a *Attributes) error {
	pod := writtenPod(a)
	if pod == nil {
		return nil
	}
	asked := map[string]bool{}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			for name := range list[i].Resources.Requests {
				if valid.IsExtendedResource(name) {
					asked[string(name)] = true
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		tolerate(pod, corev1.Toleration{Key: name, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
	}
	return nil
}

// tolerate adds a toleration, in place of one that differs from it by its value or seconds alone.
func tolerate(pod *corev1.Pod, t corev1.Toleration) {
	for i := range pod.Spec.Tolerations {
		have := &pod.Spec.Tolerations[i]
		if have.MatchToleration(&t) {
			*have = t
			return
		}
	}
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, t)
}

// nodeSelectors adds the node selector of the namespace to a pod, and refuses a pod that wants another one. A namespace names its
// selector in an annotation.
type nodeSelectors struct{ look lookup }

func (*nodeSelectors) Name() string { return "PodNodeSelector" }

const nodeSelectorAnnotation = "scheduler.alpha.kubernetes.io/node-selector"

func (p *nodeSelectors) Admit(ctx context.Context, a *Attributes) error {
	pod := writtenPod(a)
	if pod == nil || a.Operation != Create {
		return nil
	}
	want, err := p.of(ctx, a, pod)
	if err == nil && len(want) > 0 {
		pod.Spec.NodeSelector = labels.Merge(want, pod.Spec.NodeSelector)
	}
	return err
}

func (p *nodeSelectors) Validate(ctx context.Context, a *Attributes) error {
	pod := writtenPod(a)
	if pod == nil || a.Operation != Create {
		return nil
	}
	_, err := p.of(ctx, a, pod)
	return err
}

// of is the selector of the pod's namespace, which the pod's own must not contradict.
func (p *nodeSelectors) of(ctx context.Context, a *Attributes, pod *corev1.Pod) (labels.Set, error) {
	ns, err := find[*corev1.Namespace](ctx, p.look, client.Namespaces, "", a.Namespace)
	if err != nil {
		return nil, err
	}
	want, err := labels.ConvertSelectorToLabelsMap(ns.Annotations[nodeSelectorAnnotation])
	if err != nil {
		return nil, err
	}
	if labels.Conflicts(want, labels.Set(pod.Spec.NodeSelector)) {
		return nil, apierrors.NewForbidden(a.Kind.GR(), pod.Name, fmt.Errorf("pod node label selector conflicts with its namespace node label selector"))
	}
	return want, nil
}
