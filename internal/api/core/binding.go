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
		Validate: api.Check(validateBinding),
		Refuse:   refuseBinding,
	}
}

// refuseBinding makes a 500 without a reason, as upstream does, which has no class for it.
func refuseBinding(_ string, errs field.ErrorList) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonUnknown, Message: errs.ToAggregate().Error(),
	}}
}

// validateBinding checks the body of bindings and of pods/binding: it must name a node. What another kind's name may look like is not
// known, so that the form of the name is checked for nodes only.
func validateBinding(b *corev1.Binding) field.ErrorList {
	var errs field.ErrorList
	target := field.NewPath("target")
	ofNode := b.Target.Kind == "" || b.Target.Kind == "Node"
	if !ofNode {
		errs = append(errs, field.NotSupported(target.Child("kind"), b.Target.Kind, []string{"Node", "<empty>"}))
	}
	switch {
	case b.Target.Name == "":
		errs = append(errs, field.Required(target.Child("name"), ""))
	case ofNode:
		errs = append(errs, valid.NodeName(b.Target.Name, target.Child("name"))...)
	}
	return errs
}
