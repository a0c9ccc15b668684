package apps

import (
	"fmt"
	"slices"

	"sampan.dev/internal/api/valid"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// statefulCheck says what of a StatefulSet is let pass that a new one may not have.
type statefulCheck struct {
	change   bool // an update: what cannot change any more, names of services and claims, is not looked at
	template bool // the pod template is not looked at
}

func validateStatefulSet(s *appsv1.StatefulSet) field.ErrorList {
	return statefulCheck{}.spec(&s.Spec, field.NewPath("spec"))
}

// validateStatefulSetUpdate lets a template stay that is invalid already, for the sets of old whose rules were laxer.
func validateStatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	path := field.NewPath("spec")
	check := statefulCheck{change: true}
	check.template = len(check.spec(&old.Spec, path)) > 0
	errs := check.spec(&s.Spec, path)
	errs = append(errs, valid.Immutable(s.Spec.Selector, old.Spec.Selector, path.Child("selector"))...)
	errs = append(errs, valid.ImmutableInternal(untyped(s.Spec.VolumeClaimTemplates), untyped(old.Spec.VolumeClaimTemplates), path.Child("volumeClaimTemplates"))...)
	errs = append(errs, valid.Immutable(s.Spec.ServiceName, old.Spec.ServiceName, path.Child("serviceName"))...)
	return append(errs, valid.Immutable(s.Spec.PodManagementPolicy, old.Spec.PodManagementPolicy, path.Child("podManagementPolicy"))...)
}

// untyped is claims without their apiVersion and kind, which upstream adds only on the way out.
func untyped(claims []corev1.PersistentVolumeClaim) []corev1.PersistentVolumeClaim {
	out := slices.Clone(claims)
	for i := range out {
		out[i].TypeMeta = metav1.TypeMeta{}
	}
	return out
}

func (c statefulCheck) spec(spec *appsv1.StatefulSetSpec, path *field.Path) field.ErrorList {
	errs := checkPodManagement(spec.PodManagementPolicy, path.Child("podManagementPolicy"))
	errs = append(errs, checkStatefulStrategy(&spec.UpdateStrategy, path.Child("updateStrategy"))...)
	if p := spec.PersistentVolumeClaimRetentionPolicy; p != nil {
		at := path.Child("persistentVolumeClaimRetentionPolicy")
		const retain, remove = appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
		errs = append(errs, valid.InOrder(p.WhenDeleted, at.Child("whenDeleted"), retain, remove)...)
		errs = append(errs, valid.InOrder(p.WhenScaled, at.Child("whenScaled"), retain, remove)...)
	}
	for i := range spec.VolumeClaimTemplates {
		if !c.change {
			errs = append(errs, valid.ClaimSpec(&spec.VolumeClaimTemplates[i].Spec, path.Child("volumeClaimTemplates").Index(i).Child("spec"))...)
		}
	}
	errs = append(errs, valid.NonNegative(int64(deref(spec.Replicas)), path.Child("replicas"))...)
	errs = append(errs, valid.NonNegative(int64(spec.MinReadySeconds), path.Child("minReadySeconds"))...)
	if spec.Ordinals != nil {
		errs = append(errs, valid.NonNegative(int64(spec.Ordinals.Start), path.Child("ordinals.start"))...)
	}
	if spec.ServiceName != "" && !c.change {
		errs = append(errs, valid.DNSLabel(spec.ServiceName, path.Child("serviceName"))...)
	}
	errs = append(errs, c.selected(spec, path)...)
	return append(errs, alwaysRestarts(&spec.Template.Spec, path.Child("template", "spec"), "StatefulSet")...)
}

// selected checks the selector and the pod template.
func (c statefulCheck) selected(spec *appsv1.StatefulSetSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := path.Child("selector")
	if spec.Selector == nil {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = append(errs, valid.LabelSelector(spec.Selector, at)...)
		if len(spec.Selector.MatchLabels)+len(spec.Selector.MatchExpressions) == 0 {
			errs = append(errs, field.Invalid(at, spec.Selector, "empty selector is invalid for statefulset"))
		}
	}
	selector, err := metav1.LabelSelectorAsSelector(spec.Selector)
	if err != nil {
		return append(errs, field.Invalid(at, spec.Selector, ""))
	}
	template, at := statefulTemplate(spec), path.Child("template")
	if !selector.Empty() && !selector.Matches(labels.Set(template.Labels)) {
		errs = append(errs, field.Invalid(at.Child("metadata", "labels"), template.Labels, "`selector` does not match template `labels`"))
	}
	if !c.template {
		errs = append(errs, valid.ValidatePodTemplate(template, at)...)
	}
	// Upstream looks at these a second time.
	errs = append(errs, valid.Labels(template.Labels, at.Child("labels"))...)
	errs = append(errs, valid.Annotations(template.Annotations, at.Child("annotations"))...)
	return append(errs, valid.PodAnnotations(template.Annotations, &template.Spec, at.Child("annotations"))...)
}

// statefulTemplate is the template as the controller makes pods of it: with a volume for each claim, and without the names that the
// controller gives anyway.
func statefulTemplate(spec *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	t := spec.Template
	t.Spec.Subdomain, t.Spec.Hostname = "", ""
	if len(spec.VolumeClaimTemplates) == 0 {
		return &t
	}
	var volumes []corev1.Volume
	for i := range spec.VolumeClaimTemplates {
		name := spec.VolumeClaimTemplates[i].Name
		if !slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.Name == name }) {
			volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
			}})
		}
	}
	claims := len(volumes)
	for _, v := range t.Spec.Volumes {
		if !slices.ContainsFunc(volumes[:claims], func(c corev1.Volume) bool { return c.Name == v.Name }) {
			volumes = append(volumes, v)
		}
	}
	t.Spec.Volumes = volumes
	return &t
}

func checkPodManagement(p appsv1.PodManagementPolicyType, path *field.Path) field.ErrorList {
	switch p {
	case "":
		return valid.Required(path, "")
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
		return nil
	}
	return valid.Invalid(path, p, fmt.Sprintf("must be '%s' or '%s'", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement))
}

func checkStatefulStrategy(s *appsv1.StatefulSetUpdateStrategy, path *field.Path) field.ErrorList {
	const rolling, onDelete = appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType
	at := path.Child("rollingUpdate")
	switch s.Type {
	case "":
		return valid.Required(path, "")
	case onDelete:
		if s.RollingUpdate != nil {
			return valid.Invalid(at, valid.Internal(s.RollingUpdate), fmt.Sprintf("only allowed for updateStrategy '%s'", rolling))
		}
		return nil
	case rolling:
		return checkStatefulRolling(s.RollingUpdate, at)
	}
	return valid.Invalid(path, valid.Internal(s), fmt.Sprintf("must be '%s' or '%s'", rolling, onDelete))
}

func checkStatefulRolling(r *appsv1.RollingUpdateStatefulSetStrategy, path *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	errs := valid.NonNegative(int64(deref(r.Partition)), path.Child("partition"))
	if r.MaxUnavailable == nil {
		return errs
	}
	at, n := path.Child("maxUnavailable"), *r.MaxUnavailable
	errs = append(errs, valid.IntOrPercent(n, at)...)
	if valid.NumberOrPercent(n) == 0 {
		errs = append(errs, field.Invalid(at, n, "cannot be 0"))
	}
	return append(errs, valid.AtMost100Percent(n, at)...)
}

func validateStatefulSetStatus(s, old *appsv1.StatefulSet) field.ErrorList {
	path, st := field.NewPath("status"), &s.Status
	errs := checkCounts([]count{
		{"replicas", int64(st.Replicas), false},
		{"readyReplicas", int64(st.ReadyReplicas), true},
		{"currentReplicas", int64(st.CurrentReplicas), true},
		{"updatedReplicas", int64(st.UpdatedReplicas), true},
		{"availableReplicas", int64(st.AvailableReplicas), true},
		{"observedGeneration", st.ObservedGeneration, false},
		{"collisionCount", int64(deref(st.CollisionCount)), false},
	}, int64(st.Replicas), path)
	if st.AvailableReplicas > st.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), st.AvailableReplicas, "cannot be greater than status.readyReplicas"))
	}
	return append(errs, neverLess(st.CollisionCount, old.Status.CollisionCount, path.Child("collisionCount"))...)
}
