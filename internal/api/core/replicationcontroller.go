package core

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ReplicationControllers is the kind ReplicationController.
func ReplicationControllers() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "ReplicationController", Resource: "replicationcontrollers", Singular: "replicationcontroller",
		ShortNames: []string{"rc"}, Categories: []string{"all"}, Namespaced: true, Prefix: "controllers",
		New:     func() api.Object { return &corev1.ReplicationController{} },
		NewList: func() runtime.Object { return &corev1.ReplicationControllerList{} },

		Default: api.On(defaultRC),
		PrepareCreate: api.On(func(rc *corev1.ReplicationController) {
			rc.Status = corev1.ReplicationControllerStatus{}
			rc.Generation = 1
			DropDisabledTemplateFields(rc.Spec.Template, nil)
		}),
		PrepareUpdate: api.OnChange(func(rc, old *corev1.ReplicationController) {
			rc.Status = old.Status
			DropDisabledTemplateFields(rc.Spec.Template, old.Spec.Template)
			rc.Generation = old.Generation
			if !equality.Semantic.DeepEqual(&rc.Spec, &old.Spec) {
				rc.Generation++
			}
		}),
		Validate: api.Check(validateRC),
		ValidateUpdate: api.CheckChange(func(rc, old *corev1.ReplicationController) field.ErrorList {
			return valid.Ratchet(validateRC(rc), func() field.ErrorList { return validateRC(old) })
		}),
		Warnings:      rcWarnings,
		Unconditional: true,
		DefaultOrphan: true, // of old; the newer workloads take their pods with them
		Subresources: []api.Subresource{
			{
				Name: "scale", Verbs: statusVerbs, GVK: schemaGVK{Group: "autoscaling", Version: "v1", Kind: "Scale"},
				New:   func() runtime.Object { return &autoscalingv1.Scale{} },
				Scale: rcScale(),
			},
			{
				Name: "status", Verbs: statusVerbs,
				PrepareUpdate: api.OnChange(func(rc, old *corev1.ReplicationController) {
					rc.Spec = old.Spec
					rc.Generation = old.Generation
				}),
				ValidateUpdate: api.CheckChange(validateRCStatus),
			},
		},
		Columns: rcColumns(),
		Row:     api.Cells(rcRow),
		Fields: fieldsOf(func(rc *corev1.ReplicationController) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(rc.Status.Replicas))}
		}),
		FieldLabels: []string{"status.replicas"},
	}
}

func defaultRC(rc *corev1.ReplicationController) {
	if t := rc.Spec.Template; t != nil && t.Labels != nil {
		if len(rc.Spec.Selector) == 0 {
			rc.Spec.Selector = maps.Clone(t.Labels)
		}
		if len(rc.Labels) == 0 {
			rc.Labels = maps.Clone(t.Labels)
		}
	}
	setDefaultPtr(&rc.Spec.Replicas, 1)
	DefaultPodTemplate(rc.Spec.Template)
}

func rcScale() *api.Scale {
	return &api.Scale{
		Get: func(obj api.Object) (spec, status int32, selector string) {
			rc := obj.(*corev1.ReplicationController)
			if rc.Spec.Replicas != nil {
				spec = *rc.Spec.Replicas
			}
			return spec, rc.Status.Replicas, labels.SelectorFromSet(rc.Spec.Selector).String()
		},
		Set: func(obj api.Object, replicas int32) { obj.(*corev1.ReplicationController).Spec.Replicas = &replicas },
	}
}

func validateRC(rc *corev1.ReplicationController) field.ErrorList {
	spec := field.NewPath("spec")
	errs := valid.KubeFinalizers(rc)
	errs = append(errs, valid.NonNegative(int64(rc.Spec.MinReadySeconds), spec.Child("minReadySeconds"))...)
	if len(rc.Spec.Selector) == 0 {
		errs = append(errs, field.Required(spec.Child("selector"), ""))
	}
	if rc.Spec.Replicas == nil {
		errs = append(errs, field.Required(spec.Child("replicas"), ""))
	} else {
		errs = append(errs, valid.NonNegative(int64(*rc.Spec.Replicas), spec.Child("replicas"))...)
	}
	t, path := rc.Spec.Template, spec.Child("template")
	if t == nil {
		return append(errs, field.Required(path, ""))
	}
	if len(rc.Spec.Selector) > 0 && !labels.SelectorFromSet(rc.Spec.Selector).Matches(labels.Set(t.Labels)) {
		errs = append(errs, field.Invalid(path.Child("metadata", "labels"), t.Labels, "`selector` does not match template `labels`"))
	}
	errs = append(errs, valid.ValidatePodTemplate(t, path)...)
	if t.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(path.Child("spec", "restartPolicy"), t.Spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(path.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicationController is not Supported"))
	}
	return errs
}

func validateRCStatus(rc, _ *corev1.ReplicationController) field.ErrorList {
	s, path := &rc.Status, field.NewPath("status")
	errs := valid.KubeFinalizers(rc)
	errs = append(errs, valid.NonNegative(int64(s.Replicas), path.Child("replicas"))...)
	errs = append(errs, valid.NonNegative(int64(s.FullyLabeledReplicas), path.Child("fullyLabeledReplicas"))...)
	errs = append(errs, valid.NonNegative(int64(s.ReadyReplicas), path.Child("readyReplicas"))...)
	errs = append(errs, valid.NonNegative(int64(s.AvailableReplicas), path.Child("availableReplicas"))...)
	errs = append(errs, valid.NonNegative(s.ObservedGeneration, path.Child("observedGeneration"))...)
	const msg = "cannot be greater than status.replicas"
	if s.FullyLabeledReplicas > s.Replicas {
		errs = append(errs, field.Invalid(path.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas, msg))
	}
	if s.ReadyReplicas > s.Replicas {
		errs = append(errs, field.Invalid(path.Child("readyReplicas"), s.ReadyReplicas, msg))
	}
	if s.AvailableReplicas > s.Replicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, msg))
	}
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return errs
}

func rcWarnings(obj, old api.Object) []string {
	rc := obj.(*corev1.ReplicationController)
	if old != nil && old.GetGeneration() == rc.Generation {
		return nil
	}
	var out []string
	if old == nil {
		if msgs := validation.IsDNS1123Label(rc.Name); len(msgs) != 0 {
			out = append(out, fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: %v", msgs))
		}
	}
	return append(out, PodTemplateWarnings(field.NewPath("spec", "template"), rc.Spec.Template)...)
}

func rcColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.ReplicationControllerSpec{}.SwaggerDoc(), corev1.ReplicationControllerStatus{}.SwaggerDoc()
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

func rcRow(rc *corev1.ReplicationController) []any {
	var replicas int32
	if rc.Spec.Replicas != nil {
		replicas = *rc.Spec.Replicas
	}
	names, images := ContainerCells(rc.Spec.Template)
	return []any{
		rc.Name, int64(replicas), int64(rc.Status.Replicas), int64(rc.Status.ReadyReplicas), rc.CreationTimestamp,
		names, images, labels.FormatLabels(rc.Spec.Selector),
	}
}

// ContainerCells returns the names and the images of a template's containers, as workloads print them with -o wide.
func ContainerCells(template *corev1.PodTemplateSpec) (names, images string) {
	if template == nil {
		return "", ""
	}
	var n, i []string
	for _, c := range template.Spec.Containers {
		n = append(n, c.Name)
		i = append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}
