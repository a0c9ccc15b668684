package core

import (
	"sampan.dev/internal/api"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	specPath     = field.NewPath("spec")
	templatePath = field.NewPath("spec", "template", "spec")
)

// PodSpec returns the pod spec inside a pod, or inside the template of what makes pods, and its path; nil when obj has none.
func PodSpec(obj api.Object) (*field.Path, *corev1.PodSpec) {
	switch o := obj.(type) {
	case *corev1.Pod:
		return specPath, &o.Spec
	case *corev1.PodTemplate:
		return field.NewPath("template", "spec"), &o.Template.Spec
	case *corev1.ReplicationController:
		if o.Spec.Template != nil {
			return templatePath, &o.Spec.Template.Spec
		}
	case *appsv1.ReplicaSet:
		return templatePath, &o.Spec.Template.Spec
	case *appsv1.Deployment:
		return templatePath, &o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return templatePath, &o.Spec.Template.Spec
	case *appsv1.DaemonSet:
		return templatePath, &o.Spec.Template.Spec
	case *batchv1.Job:
		return templatePath, &o.Spec.Template.Spec
	case *batchv1.CronJob:
		return field.NewPath("spec", "jobTemplate", "spec", "template", "spec"), &o.Spec.JobTemplate.Spec.Template.Spec
	}
	return nil, nil
}

// DropGroups returns kinds whose pods name no scheduling group, as upstream's while the feature GenericWorkload is off. One that an
// object has from a cluster where it was on stays.
func DropGroups(kinds []*api.Kind) []*api.Kind {
	out := make([]*api.Kind, len(kinds))
	for i, k := range kinds {
		out[i] = k
		if k.New == nil {
			continue
		}
		if _, spec := PodSpec(k.New()); spec == nil && k.Resource != "replicationcontrollers" {
			continue
		}
		without := *k
		without.PrepareCreate = func(obj api.Object) {
			if _, spec := PodSpec(obj); spec != nil {
				spec.SchedulingGroup = nil
			}
			k.PrepareCreate(obj)
		}
		without.PrepareUpdate = func(obj, old api.Object) {
			_, was := PodSpec(old)
			if _, spec := PodSpec(obj); spec != nil && (was == nil || was.SchedulingGroup == nil) {
				spec.SchedulingGroup = nil
			}
			k.PrepareUpdate(obj, old)
		}
		out[i] = &without
	}
	return out
}
