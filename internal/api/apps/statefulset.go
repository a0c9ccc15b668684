package apps

import (
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// StatefulSets is the kind StatefulSet.
func StatefulSets() *api.Kind {
	return &api.Kind{
		Group: "apps", Version: "v1", Kind: "StatefulSet", Resource: "statefulsets", Singular: "statefulset",
		ShortNames: []string{"sts"}, Categories: []string{"all"}, Namespaced: true,
		New:     func() api.Object { return &appsv1.StatefulSet{} },
		NewList: func() runtime.Object { return &appsv1.StatefulSetList{} },

		Default: api.On(defaultStatefulSet),
		PrepareCreate: api.On(func(s *appsv1.StatefulSet) {
			s.Status = appsv1.StatefulSetStatus{}
			s.Generation = 1
			core.DropDisabledTemplateFields(&s.Spec.Template, nil)
		}),
		PrepareUpdate: api.OnChange(func(s, old *appsv1.StatefulSet) {
			s.Status = old.Status
			core.DropDisabledTemplateFields(&s.Spec.Template, &old.Spec.Template)
			s.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&s.Spec, &old.Spec) {
				s.Generation++
			}
		}),
		ValidateName:   validation.NameIsDNSLabel, // the pods are named after it, with a number behind
		Validate:       api.Check(validateStatefulSet),
		ValidateUpdate: api.CheckChange(validateStatefulSetUpdate),
		Warnings:       statefulSetWarnings,
		Unconditional:  true,
		Subresources: []api.Subresource{
			scale(&api.Scale{
				Get: func(obj api.Object) (spec, status int32, selector string) {
					s := obj.(*appsv1.StatefulSet)
					return deref(s.Spec.Replicas), s.Status.Replicas, selectorString(s.Spec.Selector)
				},
				Set: func(obj api.Object, replicas int32) { obj.(*appsv1.StatefulSet).Spec.Replicas = &replicas },
			}),
			{
				Name: "status", Verbs: statusVerbs,
				PrepareUpdate:  api.OnChange(func(s, old *appsv1.StatefulSet) { s.Spec = old.Spec }),
				ValidateUpdate: api.CheckChange(validateStatefulSetStatus),
			},
		},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Ready", "string", "Number of the pod with ready state"),
			api.AgeColumn(),
			api.WideColumn("Containers", "string", "Names of each container in the template."),
			api.WideColumn("Images", "string", "Images referenced by each container in the template."),
		},
		Row: api.Cells(func(s *appsv1.StatefulSet) []any {
			names, images := containerCells(s.Spec.Template.Spec.Containers)
			return []any{s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, deref(s.Spec.Replicas)), s.CreationTimestamp, names, images}
		}),
	}
}

func defaultStatefulSet(s *appsv1.StatefulSet) {
	spec := &s.Spec
	core.DefaultPodTemplate(&spec.Template)
	if spec.PodManagementPolicy == "" {
		spec.PodManagementPolicy = appsv1.OrderedReadyPodManagement
	}
	u := &spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateStatefulSetStrategyType
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
		}
	}
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate != nil {
		setDefault(&u.RollingUpdate.Partition, 0)
		setDefault(&u.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	}
	if spec.PersistentVolumeClaimRetentionPolicy == nil {
		spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{}
	}
	for _, p := range []*appsv1.PersistentVolumeClaimRetentionPolicyType{
		&spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted, &spec.PersistentVolumeClaimRetentionPolicy.WhenScaled,
	} {
		if *p == "" {
			*p = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
		}
	}
	setDefault(&spec.Replicas, 1)
	setDefault(&spec.RevisionHistoryLimit, 10)
	for i := range spec.VolumeClaimTemplates {
		c := &spec.VolumeClaimTemplates[i]
		core.DefaultClaim(c)
		c.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim")) // they are shown with their kind, like objects of their own
	}
}

func statefulSetWarnings(obj, old api.Object) []string {
	s := obj.(*appsv1.StatefulSet)
	var out []string
	if old == nil || old.GetGeneration() != s.Generation {
		out = core.PodTemplateWarnings(field.NewPath("spec", "template"), &s.Spec.Template)
	}
	for i := range s.Spec.VolumeClaimTemplates {
		at := field.NewPath("spec", "volumeClaimTemplates").Index(i)
		if old != nil {
			at = at.Child("Spec") // upstream names it so on an update only
		}
		out = append(out, core.ClaimSpecWarnings(at, &s.Spec.VolumeClaimTemplates[i].Spec)...)
	}
	if n := s.Spec.RevisionHistoryLimit; n != nil && *n < 0 {
		out = append(out, "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended")
	}
	return out
}
