package valid

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ClaimLeniency is what an update of a claim may keep of what a new claim may not have.
type ClaimLeniency struct {
	Labels    bool // values in the selector that no label can have
	APIGroups bool // data sources whose group is no DNS name
}

// ClaimSpec checks the spec of a new persistent volume claim, of its own or of a template.
func ClaimSpec(spec *corev1.PersistentVolumeClaimSpec, path *field.Path) field.ErrorList {
	return ClaimSpecChange(spec, ClaimLeniency{}, path)
}

// ClaimSpecChange is ClaimSpec for a claim that there is already.
func ClaimSpecChange(spec *corev1.PersistentVolumeClaimSpec, may ClaimLeniency, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	modes := path.Child("accessModes")
	if len(spec.AccessModes) == 0 {
		errs = append(errs, field.Required(modes, "at least 1 access mode is required"))
	}
	errs = append(errs, metavalidation.ValidateLabelSelector(spec.Selector, metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: may.Labels}, path.Child("selector"))...)
	errs = append(errs, accessModesOf(spec.AccessModes, modes)...)
	size, ok := spec.Resources.Requests[corev1.ResourceStorage]
	at := path.Child("resources").Key(string(corev1.ResourceStorage))
	if !ok {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = append(errs, PositiveQuantity(size, at)...)
	}
	if n := spec.StorageClassName; n != nil && *n != "" {
		errs = append(errs, className(*n, path.Child("storageClassName"))...)
	}
	if spec.VolumeMode != nil {
		errs = append(errs, OneOf(*spec.VolumeMode, path.Child("volumeMode"), corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)...)
	}
	errs = append(errs, dataSources(spec, may.APIGroups, path)...)
	if n := spec.VolumeAttributesClassName; n != nil && *n != "" {
		errs = append(errs, className(*n, path.Child("volumeAttributesClassName"))...)
	}
	return errs
}

func dataSources(spec *corev1.PersistentVolumeClaimSpec, anyGroup bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	source, ref := spec.DataSource, spec.DataSourceRef
	if source != nil {
		errs = append(errs, dataSource(source.APIGroup, source.Kind, source.Name, anyGroup, path.Child("dataSource"))...)
	}
	if ref == nil {
		return errs
	}
	errs = append(errs, dataSource(ref.APIGroup, ref.Kind, ref.Name, anyGroup, path.Child("dataSourceRef"))...)
	if n := ref.Namespace; n != nil && *n != "" {
		errs = append(errs, messages(path.Child("dataSourceRef", "namespace"), *n, apivalidation.ValidateNamespaceName(*n, false))...)
		if source != nil {
			errs = append(errs, field.Invalid(path, path.Child("dataSource"), "may not be specified when dataSourceRef.namespace is specified"))
		}
	} else if source != nil && (!equality.Semantic.DeepEqual(source.APIGroup, ref.APIGroup) || source.Kind != ref.Kind || source.Name != ref.Name) {
		errs = append(errs, field.Invalid(path, path.Child("dataSource"), "must match dataSourceRef"))
	}
	return errs
}

func dataSource(group *string, kind, name string, anyGroup bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	if kind == "" {
		errs = append(errs, field.Required(path.Child("kind"), ""))
	}
	if group == nil || *group == "" {
		if kind != "PersistentVolumeClaim" {
			errs = append(errs, field.Invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
		}
		return errs
	}
	if anyGroup {
		return errs
	}
	return append(errs, messages(path.Child("apiGroup"), *group, validation.IsDNS1123Subdomain(*group))...)
}
