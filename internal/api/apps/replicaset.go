package apps

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"
	"sampan.dev/internal/api/valid"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ReplicaSets is the kind ReplicaSet.
func ReplicaSets() *api.Kind {
	return &api.Kind{
		Group: "apps", Version: "v1", Kind: "ReplicaSet", Resource: "replicasets", Singular: "replicaset",
		ShortNames: []string{"rs"}, Categories: []string{"all"}, Namespaced: true,
		New:     func() api.Object { return &appsv1.ReplicaSet{} },
		NewList: func() runtime.Object { return &appsv1.ReplicaSetList{} },

		Default: api.On(func(r *appsv1.ReplicaSet) {
			core.DefaultPodTemplate(&r.Spec.Template)
			setDefault(&r.Spec.Replicas, 1)
		}),
		PrepareCreate: api.On(func(r *appsv1.ReplicaSet) {
			r.Status = appsv1.ReplicaSetStatus{}
			r.Generation = 1
			core.DropDisabledTemplateFields(&r.Spec.Template, nil)
		}),
		PrepareUpdate: api.OnChange(func(r, old *appsv1.ReplicaSet) {
			r.Status = old.Status
			core.DropDisabledTemplateFields(&r.Spec.Template, &old.Spec.Template)
			r.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&r.Spec, &old.Spec) {
				r.Generation++
			}
		}),
		Validate: api.Check(validateReplicaSet),
		ValidateUpdate: api.CheckChange(func(r, old *appsv1.ReplicaSet) field.ErrorList {
			return append(validateReplicaSet(r), valid.Immutable(r.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
		}),
		Warnings: func(obj, old api.Object) []string {
			r := obj.(*appsv1.ReplicaSet)
			if old != nil && old.GetGeneration() == r.Generation {
				return nil
			}
			return workloadWarnings(r.Name, &r.Spec.Template, old == nil)
		},
		Unconditional: true,
		Subresources: []api.Subresource{
			scale(&api.Scale{
				Get: func(obj api.Object) (spec, status int32, selector string) {
					r := obj.(*appsv1.ReplicaSet)
					return deref(r.Spec.Replicas), r.Status.Replicas, selectorString(r.Spec.Selector)
				},
				Set: func(obj api.Object, replicas int32) { obj.(*appsv1.ReplicaSet).Spec.Replicas = &replicas },
			}),
			{
				Name: "status", Verbs: statusVerbs,
				PrepareUpdate:  api.OnChange(func(r, old *appsv1.ReplicaSet) { r.Spec = old.Spec }),
				ValidateUpdate: api.CheckChange(validateReplicaSetStatus),
			},
		},
		Columns: replicaSetColumns(),
		Row: api.Cells(func(r *appsv1.ReplicaSet) []any {
			names, images := containerCells(r.Spec.Template.Spec.Containers)
			return []any{
				r.Name, int64(deref(r.Spec.Replicas)), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas),
				r.CreationTimestamp, names, images, metav1.FormatLabelSelector(r.Spec.Selector),
			}
		}),
	}
}

func replicaSetColumns() []metav1.TableColumnDefinition {
	spec, status := appsv1.ReplicaSetSpec{}.SwaggerDoc(), appsv1.ReplicaSetStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Desired", "integer", spec["replicas"]),
		api.Column("Current", "integer", status["replicas"]),
		api.Column("Ready", "integer", status["readyReplicas"]),
		api.AgeColumn(),
		api.WideColumn("Containers", "string", "Names of each container in the template."),
		api.WideColumn("Images", "string", "Images referenced by each container in the template."),
		api.WideColumn("Selector", "string", spec["selector"]),
	}
}

func validateReplicaSet(r *appsv1.ReplicaSet) field.ErrorList {
	path := field.NewPath("spec")
	errs := valid.NonNegative(int64(deref(r.Spec.Replicas)), path.Child("replicas"))
	errs = append(errs, valid.NonNegative(int64(r.Spec.MinReadySeconds), path.Child("minReadySeconds"))...)
	return append(errs, checkSelected(r.Spec.Selector, &r.Spec.Template, path)...)
}

func validateReplicaSetStatus(r, _ *appsv1.ReplicaSet) field.ErrorList {
	path, s := field.NewPath("status"), &r.Status
	errs := checkCounts([]count{
		{"replicas", int64(s.Replicas), false},
		{"fullyLabeledReplicas", int64(s.FullyLabeledReplicas), true},
		{"readyReplicas", int64(s.ReadyReplicas), true},
		{"availableReplicas", int64(s.AvailableReplicas), true},
		{"observedGeneration", s.ObservedGeneration, false},
		{"terminatingReplicas", int64(deref(s.TerminatingReplicas)), false},
	}, int64(s.Replicas), path)
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return errs
}
