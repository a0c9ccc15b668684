package core

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodTemplates is the kind PodTemplate.
func PodTemplates() *api.Kind {
	check := func(t *corev1.PodTemplate) field.ErrorList {
		return valid.ValidatePodTemplate(&t.Template, field.NewPath("template"))
	}
	return &api.Kind{
		Version: "v1", Kind: "PodTemplate", Resource: "podtemplates", Singular: "podtemplate", Namespaced: true,
		New:     func() api.Object { return &corev1.PodTemplate{} },
		NewList: func() runtime.Object { return &corev1.PodTemplateList{} },

		Default: api.On(func(t *corev1.PodTemplate) { DefaultPodTemplate(&t.Template) }),
		PrepareCreate: api.On(func(t *corev1.PodTemplate) {
			t.Generation = 1
			DropDisabledTemplateFields(&t.Template, nil)
		}),
		PrepareUpdate: api.OnChange(func(t, old *corev1.PodTemplate) {
			DropDisabledTemplateFields(&t.Template, &old.Template)
			t.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&t.Template, &old.Template) {
				t.Generation++
			}
		}),
		Validate:       api.Check(check),
		ValidateUpdate: api.CheckChange(func(t, _ *corev1.PodTemplate) field.ErrorList { return check(t) }),
		Warnings: func(obj, old api.Object) []string {
			t := obj.(*corev1.PodTemplate)
			if old != nil && old.GetGeneration() == t.Generation {
				return nil
			}
			return PodTemplateWarnings(field.NewPath("template"), &t.Template)
		},
		Unconditional:  true,
		ReturnsDeleted: true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Containers", "string", "Names of each container in the template."),
			api.Column("Images", "string", "Images referenced by each container in the template."),
			api.Column("Pod Labels", "string", "The labels for the pod template."),
		},
		Row: api.Cells(func(t *corev1.PodTemplate) []any {
			names, images := ContainerCells(&t.Template)
			return []any{t.Name, names, images, labels.FormatLabels(t.Template.Labels)}
		}),
	}
}
