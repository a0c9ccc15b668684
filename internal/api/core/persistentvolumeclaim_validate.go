package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// claimChange checks an update of a claim. old's sources are made alike first, since claims of older servers have only one.
func claimChange(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	old = old.DeepCopy()
	equalSources(&old.Spec)
	may := valid.ClaimLeniency{
		Labels:    len(valid.LabelSelector(old.Spec.Selector, nil)) > 0,
		APIGroups: old.Spec.DataSource != nil && old.Spec.DataSource.APIGroup != nil || old.Spec.DataSourceRef != nil && old.Spec.DataSourceRef.APIGroup != nil,
	}
	spec := field.NewPath("spec")
	errs := append(valid.KubeFinalizers(c), valid.KubeFinalizers(c)...)
	errs = append(errs, valid.ClaimSpecChange(&c.Spec, may, spec)...)
	errs = append(errs, claimSpecFixed(c, old)...)
	storage := spec.Child("resources", "requests", "storage")
	is, was, has := c.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage], old.Status.Capacity[corev1.ResourceStorage]
	if is.Cmp(was) < 0 && is.Cmp(has) <= 0 { // a growth that failed may be taken back
		errs = append(errs, field.Forbidden(storage, "field can not be less than status.capacity"))
	}
	errs = append(errs, valid.Immutable(c.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...)
	if old.Status.CurrentVolumeAttributesClassName != nil && !equality.Semantic.DeepEqual(old.Spec.VolumeAttributesClassName, c.Spec.VolumeAttributesClassName) {
		const detail = "update to %s is forbidden when status.currentVolumeAttributesClassName is not nil"
		if n := c.Spec.VolumeAttributesClassName; n == nil {
			errs = append(errs, field.Forbidden(spec.Child("volumeAttributesClassName"), fmt.Sprintf(detail, "nil")))
		} else if *n == "" {
			errs = append(errs, field.Forbidden(spec.Child("volumeAttributesClassName"), fmt.Sprintf(detail, "empty string")))
		}
	}
	return errs
}

// claimSpecFixed takes every allowed change back, and refuses what still differs: a volume may be named once, a class may be named
// where there was none, and a bound claim may grow and change its attributes.
func claimSpecFixed(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	var errs field.ErrorList
	is, was := c.Spec.DeepCopy(), old.Spec.DeepCopy()
	if was.VolumeName == "" {
		was.VolumeName = is.VolumeName
	}
	const beta = corev1.BetaStorageClassAnnotation
	asked, annotated := old.Annotations[beta]
	wants, keeps := c.Annotations[beta]
	named := was.StorageClassName == nil && is.StorageClassName != nil
	if annotated && named && *is.StorageClassName == asked && (!keeps || wants == asked) {
		is.StorageClassName = nil
	} else {
		if wants != asked {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "annotations", beta), wants, "field is immutable"))
		}
		if named && (!annotated || *is.StorageClassName == asked) {
			is.StorageClassName = nil
		}
	}
	if c.Status.Phase == corev1.ClaimBound {
		if is.Resources.Requests != nil {
			is.Resources.Requests[corev1.ResourceStorage] = old.Spec.Resources.Requests[corev1.ResourceStorage]
		}
		is.VolumeAttributesClassName = was.VolumeAttributesClassName
	}
	if !equality.Semantic.DeepEqual(is, was) {
		errs = append(errs, field.Forbidden(field.NewPath("spec"),
			fmt.Sprintf("spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n%v", valid.InternalDiff(was, is))))
	}
	return errs
}

// claimStatusErrors checks an update of a claim's status.
func claimStatusErrors(c, _ *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := valid.KubeFinalizers(c)
	if len(c.Spec.AccessModes) == 0 {
		errs = append(errs, field.Required(field.NewPath("Spec", "accessModes"), ""))
	}
	status := field.NewPath("status")
	for _, name := range slices.Sorted(maps.Keys(c.Status.Capacity)) {
		errs = append(errs, valid.BasicQuantity(c.Status.Capacity[name], status.Child("capacity").Key(string(name)))...)
	}
	errs = append(errs, healthErrors(c.Status.HealthStatus, status.Child("healthStatus", "healthConditions"))...)
	states := status.Child("allocatedResourceStatuses")
	for _, name := range slices.Sorted(maps.Keys(c.Status.AllocatedResourceStatuses)) {
		errs = append(errs, claimResource(name, states)...)
		if !slices.Contains(resizeStates, c.Status.AllocatedResourceStatuses[name]) {
			errs = append(errs, field.NotSupported(states, name, resizeStates))
		}
	}
	allocated := status.Child("allocatedResources")
	for _, name := range slices.Sorted(maps.Keys(c.Status.AllocatedResources)) {
		q, at := c.Status.AllocatedResources[name], allocated.Key(string(name))
		if bad := claimResource(name, allocated); len(bad) > 0 {
			errs = append(errs, bad...)
		} else if bad := valid.BasicQuantity(q, at); len(bad) > 0 {
			errs = append(errs, bad...)
		} else {
			errs = append(errs, valid.ResourceQuantity(corev1.ResourceStorage, q, at)...)
		}
	}
	return errs
}

// resizeStates are how far a growth has come, in the order of the alphabet.
var resizeStates = []corev1.ClaimResourceStatus{
	corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible, corev1.PersistentVolumeClaimNodeResizeInProgress,
	corev1.PersistentVolumeClaimNodeResizeInfeasible, corev1.PersistentVolumeClaimNodeResizePending,
}

// claimResource checks the name of something that a claim can grow in: storage, or what somebody has named with a domain.
func claimResource(name corev1.ResourceName, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsQualifiedName(string(name)) {
		errs = append(errs, field.Invalid(path, string(name), msg))
	}
	if len(errs) > 0 {
		return errs
	}
	native := !strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
	if native && name != corev1.ResourceStorage {
		return field.ErrorList{field.NotSupported(path, string(name), []corev1.ResourceName{corev1.ResourceStorage})}
	}
	return nil
}

func healthErrors(h *corev1.VolumeHealthStatus, path *field.Path) field.ErrorList {
	if h == nil {
		return nil
	}
	var errs field.ErrorList
	for i, c := range h.HealthConditions {
		if c.Reason != "" {
			errs = append(errs, valid.ConditionReason(c.Reason, path.Index(i).Child("reason"))...)
		}
	}
	return errs
}
