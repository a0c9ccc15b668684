package admit

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// runtimeClass refuses pods that name a RuntimeClass, and pods that bring the overhead of one themselves. RuntimeClasses are
// not served yet, so that every name is unknown: a pod that asks for a sandboxed runtime must not be run by the ordinary one.
// The words are upstream's (plugin/pkg/admission/runtimeclass).
type runtimeClass struct{}

func (runtimeClass) Name() string { return "RuntimeClass" }

func (runtimeClass) Validate(_ context.Context, a *Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !a.is("", "pods", "") || a.Operation != Create {
		return nil
	}
	if n := pod.Spec.RuntimeClassName; n != nil {
		return forbidden(a, "pod rejected: RuntimeClass %q not found", *n)
	}
	if pod.Spec.Overhead != nil {
		return forbidden(a, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	}
	return nil
}
