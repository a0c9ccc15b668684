package scheduling

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// later are the features that the fields of groups belong to, none of which is built: what asks for one is dropped, as upstream does
// with the gates off.
var later = map[string]bool{
	"TopologyAwareWorkloadScheduling": false, "DRAWorkloadResourceClaims": false, "PodGroupPreemptionPolicy": false, "CompositePodGroup": false,
}

// Workloads is the kind Workload, which is served when the feature GenericWorkload is on.
func Workloads() *api.Kind {
	path := field.NewPath("spec")
	return &api.Kind{
		Group: schedulingv1alpha3.GroupName, Version: "v1alpha3", Kind: "Workload", Resource: "workloads", Singular: "workload", Namespaced: true,
		New:     func() api.Object { return &schedulingv1alpha3.Workload{} },
		NewList: func() runtime.Object { return &schedulingv1alpha3.WorkloadList{} },

		PrepareCreate: api.On(func(w *schedulingv1alpha3.Workload) { dropTemplateFields(&w.Spec, &schedulingv1alpha3.WorkloadSpec{}) }),
		PrepareUpdate: api.OnChange(func(w, old *schedulingv1alpha3.Workload) { dropTemplateFields(&w.Spec, &old.Spec) }),
		Validate: api.Check(func(w *schedulingv1alpha3.Workload) field.ErrorList {
			return valid.Declared(onePriority(&w.Spec, path), valid.Changed(schedulingv1alpha3.Validate_WorkloadSpec, &w.Spec, nil, later, path))
		}),
		ValidateUpdate: api.CheckChange(func(w, old *schedulingv1alpha3.Workload) field.ErrorList {
			return valid.Declared(onePriority(&w.Spec, path), valid.Changed(schedulingv1alpha3.Validate_WorkloadSpec, &w.Spec, &old.Spec, later, path))
		}),
		Columns: []metav1.TableColumnDefinition{api.NameColumn(), api.AgeColumn()},
		Row:     api.Cells(func(w *schedulingv1alpha3.Workload) []any { return []any{w.Name, w.CreationTimestamp} }),
	}
}

// dropTemplateFields clears what belongs to features that are off, unless old, whose templates are compared in order, has it in use.
func dropTemplateFields(spec, old *schedulingv1alpha3.WorkloadSpec) {
	if len(old.CompositePodGroupTemplates) == 0 {
		spec.CompositePodGroupTemplates = nil
	}
	for i := range spec.PodGroupTemplates {
		t, was := &spec.PodGroupTemplates[i], schedulingv1alpha3.PodGroupTemplate{}
		if i < len(old.PodGroupTemplates) {
			was = old.PodGroupTemplates[i]
		}
		if was.SchedulingConstraints == nil {
			t.SchedulingConstraints = nil
		}
		if len(was.ResourceClaims) == 0 {
			t.ResourceClaims = nil
		}
		if was.PreemptionPolicy == nil {
			t.PreemptionPolicy = nil
		}
	}
}

// onePriority holds all templates to the priority of the first.
func onePriority(spec *schedulingv1alpha3.WorkloadSpec, path *field.Path) field.ErrorList {
	for i := 1; i < len(spec.PodGroupTemplates); i++ {
		first, t := &spec.PodGroupTemplates[0], &spec.PodGroupTemplates[i]
		if t.PriorityClassName != first.PriorityClassName || (t.Priority == nil) != (first.Priority == nil) || t.Priority != nil && *t.Priority != *first.Priority {
			return field.ErrorList{field.Invalid(path, nil, "detected multiple priority configurations")}
		}
	}
	return nil
}
