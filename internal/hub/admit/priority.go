package admit

import (
	"context"
	"fmt"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// priority turns the priority class of a pod or of a group of pods into a number, and keeps the default class the only one.
type priority struct{ look lookup }

func (*priority) Name() string { return "Priority" }

func (p *priority) Admit(ctx context.Context, a *Attributes) error {
	if g, ok := a.Object.(*schedulingv1alpha3.PodGroup); ok && a.Subresource == "" && a.Operation == Create {
		return p.group(ctx, a, g)
	}
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !a.is("", "pods", "") {
		return nil
	}
	switch a.Operation {
	case Create:
		return p.create(ctx, a, pod)
	case Update:
		if old, ok := a.Old.(*corev1.Pod); ok {
			if pod.Spec.Priority == nil {
				pod.Spec.Priority = old.Spec.Priority
			}
			if pod.Spec.PreemptionPolicy == nil {
				pod.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
			}
		}
	}
	return nil
}

// class is the priority class of a new object that names one, or the default one; one without a name where there is none.
func (p *priority) class(ctx context.Context, a *Attributes, name string) (*schedulingv1.PriorityClass, error) {
	if name == "" {
		def, err := p.defaultClass(ctx, "0")
		if err != nil {
			return nil, fmt.Errorf("error occurred while retrieving default priority class: %w", err)
		}
		if def == nil {
			lower := corev1.PreemptLowerPriority
			def = &schedulingv1.PriorityClass{PreemptionPolicy: &lower}
		}
		return def, nil
	}
	class, err := find[*schedulingv1.PriorityClass](ctx, p.look, client.PriorityClasses, "", name)
	if apierrors.IsNotFound(err) {
		return nil, forbidden(a, "no PriorityClass with name %v was found", name)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to resolve PriorityClass with name %s: %w", name, err)
	}
	return class, nil
}

// group turns a new PodGroup's priority class into a number.
func (p *priority) group(ctx context.Context, a *Attributes, g *schedulingv1alpha3.PodGroup) error {
	class, err := p.class(ctx, a, g.Spec.PriorityClassName)
	if err != nil {
		return err
	}
	value := class.Value
	if g.Spec.Priority != nil && *g.Spec.Priority != value {
		return forbidden(a, "priority set in the pod group (%d) must match the priority computed (%d) based on the priority class set in the spec", *g.Spec.Priority, value)
	}
	g.Spec.Priority, g.Spec.PriorityClassName = &value, class.Name
	return nil
}

func (p *priority) create(ctx context.Context, a *Attributes, pod *corev1.Pod) error {
	class, err := p.class(ctx, a, pod.Spec.PriorityClassName)
	if err != nil {
		return err
	}
	pod.Spec.PriorityClassName = class.Name
	value := class.Value
	if pod.Spec.Priority != nil && *pod.Spec.Priority != value {
		return forbidden(a, "the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", *pod.Spec.Priority, value)
	}
	pod.Spec.Priority = &value
	if class.PreemptionPolicy != nil {
		policy := *class.PreemptionPolicy
		if pod.Spec.PreemptionPolicy != nil && *pod.Spec.PreemptionPolicy != policy {
			return forbidden(a, "the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", *pod.Spec.PreemptionPolicy, policy)
		}
		pod.Spec.PreemptionPolicy = &policy
	}
	return nil
}

func (p *priority) Validate(ctx context.Context, a *Attributes) error {
	if a.Operation == Delete && a.is("scheduling.k8s.io", "priorityclasses", "") && (a.Name == "system-node-critical" || a.Name == "system-cluster-critical") {
		return forbidden(a, "this is a system priority class and cannot be deleted")
	}
	class, ok := a.Object.(*schedulingv1.PriorityClass)
	if !ok || !a.is("scheduling.k8s.io", "priorityclasses", "") || a.Operation != Create && a.Operation != Update || !class.GlobalDefault {
		return nil
	}
	def, err := p.defaultClass(ctx, "")
	if err != nil {
		return fmt.Errorf("failed to get default priority class: %w", err)
	}
	if def != nil && (a.Operation == Create || def.Name != class.Name) {
		return forbidden(a, "PriorityClass %v is already marked as default. Only one default can exist", def.Name)
	}
	return nil
}

// defaultClass is the one marked as such; of several, which a race may leave, the lowest. revision is "0" for what the cache
// has and "" for the newest.
func (p *priority) defaultClass(ctx context.Context, revision string) (*schedulingv1.PriorityClass, error) {
	all, err := client.ListAll[*schedulingv1.PriorityClass](ctx, p.look.door, client.PriorityClasses, "", metav1.ListOptions{ResourceVersion: revision})
	if err != nil {
		return nil, err
	}
	var def *schedulingv1.PriorityClass
	for _, c := range all {
		if c.GlobalDefault && (def == nil || def.Value > c.Value) {
			def = c
		}
	}
	return def, nil
}
