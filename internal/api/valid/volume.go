package valid

import (
	"maps"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// VolumeSpec checks the spec of the persistent volume called name; lax tolerates values in its node affinity that no label can have.
func VolumeSpec(spec *corev1.PersistentVolumeSpec, name string, lax bool, at *field.Path) field.ErrorList {
	errs := accessModes(spec.AccessModes, at.Child("accessModes"))
	errs = append(errs, volumeCapacity(spec.Capacity, at.Child("capacity"))...)
	if p := spec.PersistentVolumeReclaimPolicy; p != "" {
		errs = append(errs, OneOf(p, at.Child("persistentVolumeReclaimPolicy"), corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)...)
	}
	if a := spec.NodeAffinity; a != nil {
		if a.Required == nil {
			errs = append(errs, field.Required(at.Child("nodeAffinity", "required"), "must specify required node constraints"))
		} else {
			errs = append(errs, nodeSelector(a.Required, !lax, at.Child("nodeAffinity", "required"))...)
		}
	}
	errs = append(errs, volumeSource(spec, name, spec.NodeAffinity != nil, at)...)
	if spec.StorageClassName != "" {
		errs = append(errs, className(spec.StorageClassName, at.Child("storageClassName"))...)
	}
	if m := spec.VolumeMode; m != nil {
		errs = append(errs, OneOf(*m, at.Child("volumeMode"), corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)...)
	}
	return append(errs, attributesClass(spec, at)...)
}

// InlineVolumeSpec checks a volume that an attachment brings with it, for pods that still name a driver which CSI has replaced.
func InlineVolumeSpec(spec *corev1.PersistentVolumeSpec, at *field.Path) field.ErrorList {
	const inline = "may not be specified in the context of inline volumes"
	var errs field.ErrorList
	forbidden := func(set bool, name, detail string) {
		if set {
			errs = append(errs, field.Forbidden(at.Child(name), detail))
		}
	}
	forbidden(spec.ClaimRef != nil, "claimRef", inline)
	forbidden(len(spec.Capacity) != 0, "capacity", inline)
	if spec.CSI == nil {
		errs = append(errs, field.Required(at.Child("csi"), "has to be specified in the context of inline volumes"))
	}
	errs = append(errs, accessModes(spec.AccessModes, at.Child("accessModes"))...)
	policy := spec.PersistentVolumeReclaimPolicy
	forbidden(policy != "" && policy != corev1.PersistentVolumeReclaimRetain, "persistentVolumeReclaimPolicy", "may only be Retain in the context of inline volumes")
	forbidden(spec.NodeAffinity != nil, "nodeAffinity", inline)
	errs = append(errs, volumeSource(spec, "", false, at)...)
	forbidden(spec.StorageClassName != "", "storageClassName", inline)
	forbidden(spec.VolumeMode != nil && *spec.VolumeMode != corev1.PersistentVolumeFilesystem, "volumeMode", "may not specify volumeMode other than Filesystem in the context of inline volumes")
	return errs
}

func accessModes(list []corev1.PersistentVolumeAccessMode, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(list) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	return append(errs, accessModesOf(list, at)...)
}

// accessModesOf checks the modes that are there.
func accessModesOf(list []corev1.PersistentVolumeAccessMode, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	others := false
	for _, m := range list {
		bad := OneOf(m, at, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod)
		others = others || len(bad) == 0 && m != corev1.ReadWriteOncePod
		errs = append(errs, bad...)
	}
	if others && slices.Contains(list, corev1.ReadWriteOncePod) {
		errs = append(errs, field.Forbidden(at, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

func volumeCapacity(list corev1.ResourceList, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(list) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	if _, ok := list[corev1.ResourceStorage]; !ok || len(list) > 1 {
		errs = append(errs, field.NotSupported(at, list, []corev1.ResourceName{corev1.ResourceStorage}))
	}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		errs = append(errs, BasicQuantity(q, at.Key(string(name)))...)
		errs = append(errs, PositiveQuantity(q, at.Key(string(name)))...)
	}
	return errs
}

func className(name string, at *field.Path) field.ErrorList {
	return messages(at, name, apivalidation.NameIsDNSSubdomain(name, false))
}

// volumeSource checks that a volume has one source, which is well formed; affine says that it has a node affinity.
func volumeSource(spec *corev1.PersistentVolumeSpec, name string, affine bool, at *field.Path) field.ErrorList {
	c := &persistentCheck{podCheck: podCheck{path: at}, source: &spec.PersistentVolumeSource, volume: name, affine: affine}
	if !c.sources() {
		c.required(at, "must specify a volume type")
	}
	if h := spec.HostPath; h != nil && path.Clean(h.Path) == "/" && spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		c.forbidden(at.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'")
	}
	return c.errs
}

func attributesClass(spec *corev1.PersistentVolumeSpec, at *field.Path) field.ErrorList {
	name := spec.VolumeAttributesClassName
	if name == nil {
		return nil
	}
	var errs field.ErrorList
	if *name == "" {
		errs = append(errs, field.Required(at.Child("volumeAttributesClassName"), "an empty string is disallowed"))
	} else {
		errs = append(errs, className(*name, at.Child("volumeAttributesClassName"))...)
	}
	if spec.CSI == nil {
		errs = append(errs, field.Required(at.Child("csi"), "has to be specified when using volumeAttributesClassName"))
	}
	return errs
}
