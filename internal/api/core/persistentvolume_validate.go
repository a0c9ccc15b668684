package core

import (
	"fmt"

	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// volumeErrors checks a volume; old is nil for a new one.
func volumeErrors(v, old *corev1.PersistentVolume) field.ErrorList {
	return append(volumeSpecErrors(v, old), mountOptions(v)...)
}

func volumeSpecErrors(v, old *corev1.PersistentVolume) field.ErrorList {
	lax := old != nil && old.Spec.NodeAffinity != nil && old.Spec.NodeAffinity.Required != nil && hasBadValues(old.Spec.NodeAffinity.Required)
	return append(valid.KubeFinalizers(v), valid.VolumeSpec(&v.Spec, v.Name, lax, field.NewPath("spec"))...)
}

// hasBadValues tells whether a selector of nodes has values that no label can have.
func hasBadValues(s *corev1.NodeSelector) bool {
	for _, t := range s.NodeSelectorTerms {
		for _, e := range t.MatchExpressions {
			for _, v := range e.Values {
				if len(valid.LabelValue(v, nil)) > 0 {
					return true
				}
			}
		}
	}
	return false
}

// mountOptions refuses the annotation of old for volumes that were never mounted with options.
func mountOptions(v *corev1.PersistentVolume) field.ErrorList {
	s := &v.Spec
	if s.GCEPersistentDisk != nil || s.AWSElasticBlockStore != nil || s.Glusterfs != nil || s.NFS != nil || s.RBD != nil || s.Quobyte != nil || s.ISCSI != nil ||
		s.Cinder != nil || s.CephFS != nil || s.AzureFile != nil || s.VsphereVolume != nil || s.AzureDisk != nil || s.PhotonPersistentDisk != nil {
		return nil
	}
	if _, ok := v.Annotations[corev1.MountOptionAnnotation]; ok {
		return valid.Forbidden(field.NewPath("metadata", "annotations", corev1.MountOptionAnnotation), "may not specify mount options for this volume type")
	}
	return nil
}

// volumeChange checks an update. Upstream looks at the whole spec twice, and tells twice what is wrong with it.
func volumeChange(v, old *corev1.PersistentVolume) field.ErrorList {
	errs := append(volumeErrors(v, old), volumeSpecErrors(v, old)...)
	source := v.Spec.PersistentVolumeSource
	if was, is := old.Spec.CSI, source.CSI; was != nil && was.ControllerExpandSecretRef == nil && is != nil && is.ControllerExpandSecretRef != nil {
		source.CSI = is.DeepCopy() // may be set once
		source.CSI.ControllerExpandSecretRef = nil
	}
	if !equality.Semantic.DeepEqual(source, old.Spec.PersistentVolumeSource) {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "persistentvolumesource"),
			fmt.Sprintf("spec.persistentvolumesource is immutable after creation\n%v", valid.InternalDiff(old.Spec.PersistentVolumeSource, source))))
	}
	errs = append(errs, valid.Immutable(v.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...)
	if old.Spec.NodeAffinity != nil && !sameButForNewKeys(v.Spec.NodeAffinity, old.Spec.NodeAffinity) {
		errs = append(errs, field.Invalid(field.NewPath("nodeAffinity"), valid.Internal(v.Spec.NodeAffinity), "field is immutable, except for updating from beta label to GA"))
	}
	if old.Spec.VolumeAttributesClassName != nil && v.Spec.VolumeAttributesClassName == nil {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "volumeAttributesClassName"), "update from non-nil value to nil is forbidden"))
	}
	return errs
}

// newKeys are the labels of nodes that took the place of older ones.
var newKeys = map[string]string{
	corev1.LabelFailureDomainBetaZone:   corev1.LabelTopologyZone,
	corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
	"beta.kubernetes.io/os":             corev1.LabelOSStable,
	"beta.kubernetes.io/arch":           corev1.LabelArchStable,
	corev1.LabelInstanceType:            corev1.LabelInstanceTypeStable,
}

// sameButForNewKeys tells whether two affinities are equal save for labels that took the place of older ones.
func sameButForNewKeys(is, was *corev1.VolumeNodeAffinity) bool {
	was = was.DeepCopy()
	if is == nil || is.Required == nil || was.Required == nil || len(is.Required.NodeSelectorTerms) != len(was.Required.NodeSelectorTerms) {
		return equality.Semantic.DeepEqual(is, was)
	}
	for i := range was.Required.NodeSelectorTerms {
		now, then := &is.Required.NodeSelectorTerms[i], &was.Required.NodeSelectorTerms[i]
		renewKeys(now.MatchExpressions, then.MatchExpressions)
		renewKeys(now.MatchFields, then.MatchFields)
	}
	return equality.Semantic.DeepEqual(is, was)
}

func renewKeys(now, then []corev1.NodeSelectorRequirement) {
	for i := range min(len(now), len(then)) {
		if k := newKeys[then[i].Key]; k != "" && k == now[i].Key {
			then[i].Key = k
		}
	}
}
