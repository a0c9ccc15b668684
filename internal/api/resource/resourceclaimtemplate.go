package resource

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type template = resourcev1.ResourceClaimTemplate

// ClaimTemplates is the kind ResourceClaimTemplate: what claims are made from, one for each pod.
func ClaimTemplates() *api.Kind {
	return &api.Kind{
		Group: resourcev1.GroupName, Version: "v1", Kind: "ResourceClaimTemplate", Resource: "resourceclaimtemplates", Singular: "resourceclaimtemplate",
		Namespaced: true,
		New:        func() api.Object { return &template{} },
		NewList:    func() runtime.Object { return &resourcev1.ResourceClaimTemplateList{} },

		Default:       api.On(func(t *template) { defaultRequests(t.Spec.Spec.Devices.Requests) }),
		PrepareCreate: api.On(func(t *template) { dropClaimFields(&t.Spec.Spec, nil) }),
		PrepareUpdate: api.OnChange(func(t, old *template) { dropClaimFields(&t.Spec.Spec, &old.Spec.Spec) }),
		Validate: api.Check(func(t *template) field.ErrorList {
			return valid.Declared(templateErrors(t), valid.Changed(resourcev1.Validate_ResourceClaimTemplateSpec, &t.Spec, nil, nil, field.NewPath("spec")))
		}),
		ValidateUpdate: api.CheckChange(templateChange),
		Unconditional:  true,
		ReturnsDeleted: true,
		Columns:        []metav1.TableColumnDefinition{api.NameColumn(), api.AgeColumn()},
		Row:            api.Cells(func(t *template) []any { return []any{t.Name, t.CreationTimestamp} }),
	}
}

func templateErrors(t *template) field.ErrorList {
	spec := field.NewPath("spec")
	errs := append(valid.KubeFinalizers(t), valid.TemplateMeta(&t.Spec.ObjectMeta, spec.Child("metadata"))...)
	return append(errs, deviceClaim(&t.Spec.Spec.Devices, spec.Child("spec", "devices"))...)
}

func templateChange(t, old *template) field.ErrorList {
	errs := append(templateErrors(t), valid.KubeFinalizers(t)...)
	if !equality.Semantic.DeepEqual(t.Spec, old.Spec) {
		errs = append(errs, field.Invalid(field.NewPath("spec"), valid.Internal(t.Spec), "field is immutable"))
	}
	return valid.Declared(errs, valid.Changed(resourcev1.Validate_ResourceClaimTemplateSpec, &t.Spec, &old.Spec, nil, field.NewPath("spec")))
}
