package admissionregistration

import (
	"sampan.dev/internal/api"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type validatingBinding = admissionv1.ValidatingAdmissionPolicyBinding

// ValidatingAdmissionPolicyBindings is the kind ValidatingAdmissionPolicyBinding. Whether its author may read the parameters that it
// names is for admission to ask.
func ValidatingAdmissionPolicyBindings() *api.Kind {
	k := kind("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "validatingadmissionpolicybinding")
	k.New = func() api.Object { return &validatingBinding{} }
	k.NewList = func() runtime.Object { return &admissionv1.ValidatingAdmissionPolicyBindingList{} }
	k.Default = api.On(func(b *validatingBinding) { defaultMatch(b.Spec.MatchResources) })
	k.PrepareCreate = api.On(func(b *validatingBinding) { b.Generation = 1 })
	k.PrepareUpdate = api.OnChange(func(b, old *validatingBinding) {
		if !equality.Semantic.DeepEqual(b.Spec, old.Spec) {
			b.Generation = old.Generation + 1
		}
	})
	k.Validate = api.Check(func(b *validatingBinding) field.ErrorList { return append(checkValidatingBinding(b), checkName(b)...) })
	k.ValidateUpdate = api.CheckChange(func(b, _ *validatingBinding) field.ErrorList { return checkValidatingBinding(b) })
	k.Warnings = warnName
	k.Columns = bindingColumns()
	k.Row = api.Cells(func(b *validatingBinding) []any {
		return []any{b.Name, b.Spec.PolicyName, refCell(b.Spec.ParamRef), b.CreationTimestamp}
	})
	return k
}

func checkValidatingBinding(b *validatingBinding) field.ErrorList {
	errs := checkBinding(b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources)
	return append(errs, checkActions(b.Spec.ValidationActions, field.NewPath("spec", "validationActions"))...)
}

func bindingColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("PolicyName", "string", "PolicyName indicates the policy definition which the policy binding binded to"),
		api.Column("ParamRef", "string", "ParamRef indicates the param resource which sets the configuration param"),
		api.AgeColumn(),
	}
}
