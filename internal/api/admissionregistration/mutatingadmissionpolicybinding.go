package admissionregistration

import (
	"sampan.dev/internal/api"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type mutatingBinding = admissionv1.MutatingAdmissionPolicyBinding

// MutatingAdmissionPolicyBindings is the kind MutatingAdmissionPolicyBinding. Whether its author may read the parameters that it
// names is for admission to ask.
func MutatingAdmissionPolicyBindings() *api.Kind {
	k := kind("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", "mutatingadmissionpolicybinding")
	k.New = func() api.Object { return &mutatingBinding{} }
	k.NewList = func() runtime.Object { return &admissionv1.MutatingAdmissionPolicyBindingList{} }
	k.Default = api.On(func(b *mutatingBinding) { defaultMatch(b.Spec.MatchResources) })
	k.PrepareCreate = api.On(func(b *mutatingBinding) { b.Generation = 1 })
	k.PrepareUpdate = api.OnChange(func(b, old *mutatingBinding) {
		if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
			b.Generation = old.Generation + 1
		}
	})
	k.Validate = api.Check(func(b *mutatingBinding) field.ErrorList { return append(checkMutatingBinding(b), checkName(b)...) })
	k.ValidateUpdate = api.CheckChange(func(b, _ *mutatingBinding) field.ErrorList { return checkMutatingBinding(b) })
	k.Warnings = warnName
	k.Columns = bindingColumns()
	k.Row = api.Cells(func(b *mutatingBinding) []any {
		return []any{b.Name, b.Spec.PolicyName, refCell(b.Spec.ParamRef), b.CreationTimestamp}
	})
	return k
}

func checkMutatingBinding(b *mutatingBinding) field.ErrorList {
	errs := checkBinding(b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources)
	return append(errs, checkMutable(b.Spec.MatchResources, field.NewPath("spec", "matchResources"))...)
}
