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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// autoProvision makes the namespace of an object that is created in one that there is not.
type autoProvision struct {
	look lookup
	door client.Interface
}

func (*autoProvision) Name() string { return "NamespaceAutoProvision" }

func (p *autoProvision) Admit(ctx context.Context, a *Attributes) error {
	if a.Operation != Create || a.DryRun || a.Namespace == "" || a.Kind.OwnNamespace {
		return nil
	}
	_, err := find[*corev1.Namespace](ctx, p.look, client.Namespaces, "", a.Namespace)
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return Forbidden(a, err)
	}
	_, err = client.Create(ctx, p.door, client.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.Namespace}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return Forbidden(a, err)
	}
	return nil
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
