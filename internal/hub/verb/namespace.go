package verb

import (
	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
)

// namespaceHeld reports whether obj is a namespace that its spec.finalizers still keep.
func namespaceHeld(obj api.Object) bool {
	ns, ok := obj.(*corev1.Namespace)
	return ok && len(ns.Spec.Finalizers) > 0
}

// terminate starts the end of a namespace: its deletion has two sets of finalizers, and its phase shows it.
func terminate(obj api.Object) {
	ns := obj.(*corev1.Namespace)
	if ns.DeletionTimestamp.IsZero() {
		t := now()
		ns.DeletionTimestamp = &t
	}
	ns.Status.Phase = corev1.NamespaceTerminating
}
