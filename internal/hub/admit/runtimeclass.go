package admit

import (
	"context"
	"maps"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// runtimeClass gives a pod what its RuntimeClass says: the overhead of the runtime, and the nodes where there is one. It refuses
// pods whose class is not there, and pods that bring an overhead of their own. The words are upstream's
// (plugin/pkg/admission/runtimeclass).
type runtimeClass struct{ look lookup }

func (runtimeClass) Name() string { return "RuntimeClass" }

func (r runtimeClass) Admit(ctx context.Context, a *Attributes) error {
	pod, class, err := r.class(ctx, a)
	if err != nil || class == nil {
		return err
	}
	if class.Overhead != nil {
		if len(pod.Spec.Overhead) > 0 && !sameOverhead(pod, class) {
			return overheadDiffers(a)
		}
		pod.Spec.Overhead = class.Overhead.PodFixed.DeepCopy()
	}
	if class.Scheduling == nil {
		return nil
	}
	for k, v := range class.Scheduling.NodeSelector {
		if have, ok := pod.Spec.NodeSelector[k]; ok && have != v {
			return forbidden(a, "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", k, v, k, have)
		}
	}
	if pod.Spec.NodeSelector == nil && len(class.Scheduling.NodeSelector) > 0 {
		pod.Spec.NodeSelector = map[string]string{}
	}
	maps.Copy(pod.Spec.NodeSelector, class.Scheduling.NodeSelector)
	pod.Spec.Tolerations = mergeTolerations(pod.Spec.Tolerations, class.Scheduling.Tolerations)
	return nil
}

func (r runtimeClass) Validate(ctx context.Context, a *Attributes) error {
	pod, class, err := r.class(ctx, a)
	switch {
	case err != nil || pod == nil:
		return err
	case class != nil && class.Overhead != nil:
		if !sameOverhead(pod, class) {
			return overheadDiffers(a)
		}
	case pod.Spec.Overhead != nil:
		return forbidden(a, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	}
	return nil
}

// class returns the pod of a request to create one, nil for any other request, and the class that it names, nil for none.
func (r runtimeClass) class(ctx context.Context, a *Attributes) (*corev1.Pod, *nodev1.RuntimeClass, error) {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !a.is("", "pods", "") || a.Operation != Create {
		return nil, nil, nil
	}
	if pod.Spec.RuntimeClassName == nil {
		return pod, nil, nil
	}
	class, err := find[*nodev1.RuntimeClass](ctx, r.look, client.RuntimeClasses, "", *pod.Spec.RuntimeClassName)
	if apierrors.IsNotFound(err) {
		return nil, nil, forbidden(a, "pod rejected: RuntimeClass %q not found", *pod.Spec.RuntimeClassName)
	}
	if err != nil {
		return nil, nil, err
	}
	return pod, class, nil
}

func sameOverhead(pod *corev1.Pod, class *nodev1.RuntimeClass) bool {
	return equality.Semantic.DeepEqual(class.Overhead.PodFixed, pod.Spec.Overhead)
}

func overheadDiffers(a *Attributes) error {
	return forbidden(a, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
}

// mergeTolerations joins two lists and leaves out what another toleration covers. Neither list is changed.
func mergeTolerations(first, second []corev1.Toleration) []corev1.Toleration {
	all := append(append(make([]corev1.Toleration, 0, len(first)+len(second)), first...), second...)
	var out []corev1.Toleration
	for i, t := range all {
		redundant := false
		for _, kept := range out {
			redundant = redundant || covers(kept, t)
		}
		for _, later := range all[i+1:] { // of equal ones the first stays
			redundant = redundant || !equality.Semantic.DeepEqual(t, later) && covers(later, t)
		}
		if !redundant {
			out = append(out, t)
		}
	}
	return out
}

// covers reports whether wide tolerates all that t does.
func covers(wide, t corev1.Toleration) bool {
	switch {
	case equality.Semantic.DeepEqual(t, wide):
		return true
	case t.Key != wide.Key && (wide.Key != "" || wide.Operator != corev1.TolerationOpExists): // which stands for all keys
		return false
	case t.Effect != wide.Effect && wide.Effect != "":
		return false
	case wide.Effect == corev1.TaintEffectNoExecute && wide.TolerationSeconds != nil &&
		(t.TolerationSeconds == nil || *t.TolerationSeconds > *wide.TolerationSeconds):
		return false
	}
	switch wide.Operator {
	case corev1.TolerationOpEqual, "":
		return t.Operator == corev1.TolerationOpEqual && t.Value == wide.Value
	case corev1.TolerationOpExists:
		return true
	}
	return false
}
