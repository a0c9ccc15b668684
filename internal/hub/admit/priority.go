package admit

import (
	"context"
	"fmt"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// priority turns a pod's priority class into a number, and keeps the default class the only one.
type priority struct{ look lookup }

func (*priority) Name() string { return "Priority" }

func (p *priority) Admit(ctx context.Context, a *Attributes) error {
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

func (p *priority) create(ctx context.Context, a *Attributes, pod *corev1.Pod) error {
	lower := corev1.PreemptLowerPriority
	class := &schedulingv1.PriorityClass{PreemptionPolicy: &lower}
	if pod.Spec.PriorityClassName == "" {
		def, err := p.defaultClass(ctx, "0")
		if err != nil {
			return fmt.Errorf("error occurred while retrieving default priority class: %w", err)
		}
		if def != nil {
			class = def
		}
	} else {
		var err error
		class, err = find[*schedulingv1.PriorityClass](ctx, p.look, client.PriorityClasses, "", pod.Spec.PriorityClassName)
		if apierrors.IsNotFound(err) {
			return forbidden(a, "no PriorityClass with name %v was found", pod.Spec.PriorityClassName)
		}
		if err != nil {
			return fmt.Errorf("failed to resolve PriorityClass with name %s: %w", pod.Spec.PriorityClassName, err)
		}
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
