package core

import (
	"net/http"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bindings is the kind Binding: creating one binds the pod of its name to a node. It is the old form of pods/binding and
// is never stored.
func Bindings() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "Binding", Resource: "bindings", Singular: "binding", Namespaced: true,
		New:     func() api.Object { return &corev1.Binding{} },
		Verbs:   []string{"create"},
		Virtual: true, Untracked: true,
		Validate: api.Check(ValidateBinding),
		Refuse:   refuseBinding,
	}
}

// refuseBinding makes a 500 without a reason, as upstream does, which has no class for it.
func refuseBinding(_ string, errs field.ErrorList) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonUnknown, Message: errs.ToAggregate().Error(),
	}}
}

// ValidateBinding checks a binding, of bindings and of pods/binding: it must point at a node.
func ValidateBinding(b *corev1.Binding) field.ErrorList {
	var errs field.ErrorList
	if b.Target.Kind != "" && b.Target.Kind != "Node" {
		errs = append(errs, field.NotSupported(field.NewPath("target", "kind"), b.Target.Kind, []string{"Node", "<empty>"}))
	}
	if b.Target.Name == "" {
		return append(errs, field.Required(field.NewPath("target", "name"), ""))
	}
	if len(errs) > 0 {
		return errs
	}
	return append(errs, valid.NodeName(b.Target.Name, field.NewPath("target", "name"))...)
}
