package core

import (
	"maps"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Namespaces is the kind Namespace. Its deletion is a matter of spec.finalizers, which only the finalize subresource
// changes: while there are any, a deleted namespace stays with phase Terminating.
func Namespaces() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "Namespace", Resource: "namespaces", Singular: "namespace", ShortNames: []string{"ns"},
		New:     func() api.Object { return &corev1.Namespace{} },
		NewList: func() runtime.Object { return &corev1.NamespaceList{} },
		Verbs:   []string{"create", "delete", "get", "list", "patch", "update", "watch"},

		OwnNamespace:   true,
		ReturnsDeleted: true,
		Termination:    &api.Termination{Begin: beginTermination, Held: held},

		Default:       api.On(defaultNamespace),
		PrepareCreate: api.On(prepareNamespace),
		PrepareUpdate: api.OnChange(func(ns, old *corev1.Namespace) {
			ns.Spec.Finalizers = old.Spec.Finalizers
			ns.Status = old.Status
			labelNamespace(ns)
		}),
		Validate:       api.Check(validateNamespace),
		ValidateUpdate: api.CheckChange(func(ns, _ *corev1.Namespace) field.ErrorList { return validateNamespace(ns) }),
		ValidateName:   apivalidation.ValidateNamespaceName,
		Unconditional:  true,
		Subresources: []api.Subresource{
			{
				Name: "finalize", Verbs: []string{"update"},
				PrepareUpdate:  api.OnChange(func(ns, old *corev1.Namespace) { ns.Status = old.Status }),
				ValidateUpdate: api.CheckChange(validateNamespaceFinalize),
				ResetFields:    []string{"status"},
			},
			{
				Name: "status", Verbs: statusVerbs,
				PrepareUpdate:  api.OnChange(func(ns, old *corev1.Namespace) { ns.Spec = old.Spec }),
				ValidateUpdate: api.CheckChange(validateNamespaceStatus),
			},
		},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(), api.Column("Status", "string", "The status of the namespace"), api.AgeColumn(),
		},
		Row: api.Cells(func(ns *corev1.Namespace) []any {
			return []any{ns.Name, string(ns.Status.Phase), ns.CreationTimestamp}
		}),
		Fields:      fieldsOf(func(ns *corev1.Namespace) fields.Set { return fields.Set{"status.phase": string(ns.Status.Phase)} }),
		FieldLabels: []string{"status.phase"},
	}
}

// beginTermination starts the end of a namespace, which its phase shows.
func beginTermination(obj api.Object, at metav1.Time) {
	ns := obj.(*corev1.Namespace)
	ns.DeletionTimestamp = &at
	ns.Status.Phase = corev1.NamespaceTerminating
}

func held(obj api.Object) bool { return len(obj.(*corev1.Namespace).Spec.Finalizers) > 0 }

func defaultNamespace(ns *corev1.Namespace) {
	labelNamespace(ns)
	setDefault(&ns.Status.Phase, corev1.NamespaceActive)
}

// labelNamespace puts the name in a label, by which selectors can find it. A name that is still to be generated cannot be
// put there, so this runs when the object is prepared as well.
func labelNamespace(ns *corev1.Namespace) {
	if ns.Name == "" || ns.Labels[corev1.LabelMetadataName] == ns.Name {
		return
	}
	labels := maps.Clone(ns.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[corev1.LabelMetadataName] = ns.Name
	ns.Labels = labels
}

func prepareNamespace(ns *corev1.Namespace) {
	labelNamespace(ns)
	ns.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	if !slices.Contains(ns.Spec.Finalizers, corev1.FinalizerKubernetes) {
		ns.Spec.Finalizers = append(ns.Spec.Finalizers, corev1.FinalizerKubernetes)
	}
}

func validateNamespace(ns *corev1.Namespace) field.ErrorList {
	errs := valid.KubeFinalizers(ns)
	for _, f := range ns.Spec.Finalizers {
		errs = append(errs, namespaceFinalizer(f, field.NewPath("spec", "finalizers"))...)
	}
	return errs
}

func namespaceFinalizer(f corev1.FinalizerName, path *field.Path) field.ErrorList {
	return append(apivalidation.ValidateFinalizerName(string(f), path), valid.KubeFinalizer(string(f), path)...)
}

func validateNamespaceFinalize(ns, _ *corev1.Namespace) field.ErrorList {
	errs := valid.KubeFinalizers(ns)
	for i, f := range ns.Spec.Finalizers {
		errs = append(errs, namespaceFinalizer(f, field.NewPath("spec", "finalizers").Index(i))...)
	}
	return errs
}

func validateNamespaceStatus(ns, _ *corev1.Namespace) field.ErrorList {
	errs := valid.KubeFinalizers(ns)
	phase := field.NewPath("status", "Phase")
	switch {
	case ns.DeletionTimestamp.IsZero() && ns.Status.Phase != corev1.NamespaceActive:
		errs = append(errs, field.Invalid(phase, ns.Status.Phase, "may only be 'Active' if `deletionTimestamp` is empty"))
	case !ns.DeletionTimestamp.IsZero() && ns.Status.Phase != corev1.NamespaceTerminating:
		errs = append(errs, field.Invalid(phase, ns.Status.Phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"))
	}
	return errs
}
