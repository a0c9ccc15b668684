package storage

import (
	"slices"
	"strings"

	"sampan.dev/internal/api/volumes"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// volumePlan is what is to be done about a volume, in the order of the fields.
type volumePlan struct {
	phase   corev1.PersistentVolumePhase // to be entered; "" for none
	unbind  bool                         // it is taken from the claim that it names, and becomes available
	reclaim bool                         // its claim is gone for good
	wake    bool                         // the claim that it names is to be looked at
	onPV    *event
	onClaim *event // on the claim that it names
}

// planVolume decides what is to be done about a volume. claim is the one that it names, if that is there with the UID that the volume has
// of it; the caller has made sure that it is not merely missing in a view.
func planVolume(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) volumePlan {
	ref := pv.Spec.ClaimRef
	switch {
	case ref == nil, ref.UID == "": // without a UID it is kept for a claim that is still to come
		return volumePlan{phase: corev1.VolumeAvailable}
	case claim == nil:
		return released(pv)
	case claim.Spec.VolumeName == pv.Name:
		return volumePlan{phase: corev1.VolumeBound}
	case claim.Spec.VolumeName != "":
		// The claim has got another volume. One that was made for it is of no use to anybody.
		if metav1.HasAnnotation(pv.ObjectMeta, volumes.ProvisionedBy) && pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
			return released(pv)
		}
		return volumePlan{unbind: true}
	case !volumes.SameMode(claim, pv):
		return volumePlan{
			onPV:    warning("VolumeMismatch", "Cannot bind PersistentVolume to requested PersistentVolumeClaim %q due to incompatible volumeMode.", claim.Name),
			onClaim: warning("VolumeMismatch", "Cannot bind PersistentVolume %q to requested PersistentVolumeClaim due to incompatible volumeMode.", pv.Name),
		}
	}
	return volumePlan{wake: true}
}

// released is about a volume whose claim is gone. One that has failed stays so, for people to see, and is tried again.
func released(pv *corev1.PersistentVolume) volumePlan {
	p := volumePlan{reclaim: true}
	if pv.Status.Phase != corev1.VolumeFailed {
		p.phase = corev1.VolumeReleased
	}
	return p
}

// unbound returns the volume without the claim that the binder gave it to; one that a person has kept for a claim stays kept.
func unbound(pv *corev1.PersistentVolume) *corev1.PersistentVolume {
	out := pv.DeepCopy()
	if metav1.HasAnnotation(out.ObjectMeta, volumes.BoundByController) {
		out.Spec.ClaimRef = nil
		if delete(out.Annotations, volumes.BoundByController); len(out.Annotations) == 0 {
			out.Annotations = nil
		}
	} else {
		out.Spec.ClaimRef.UID = ""
	}
	return out
}

// marked returns the volume with the annotation of the driver that stands in for its provisioner, and with the finalizer that keeps
// the volumes of provisioners in the tree until their storage is gone; nil if it is so already.
func marked(pv *corev1.PersistentVolume) *corev1.PersistentVolume {
	provisioner, made := pv.Annotations[volumes.ProvisionedBy]
	if !made {
		return nil
	}
	driver, migrated := volumes.Driver(provisioner)
	finalizers := slices.Clone(pv.Finalizers)
	without := func(name string) {
		finalizers = slices.DeleteFunc(finalizers, func(f string) bool { return f == name })
	}
	switch {
	case migrated:
		without(volumes.InTreeProtection)
	case strings.HasPrefix(provisioner, "kubernetes.io/"):
		without(volumes.ExternalProtection)
		if pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
			without(volumes.InTreeProtection)
		} else if !slices.Contains(finalizers, volumes.InTreeProtection) {
			finalizers = append(finalizers, volumes.InTreeProtection)
		}
	}
	if pv.Annotations[volumes.MigratedTo] == driver && slices.Equal(finalizers, pv.Finalizers) {
		return nil
	}
	out := pv.DeepCopy()
	if out.Finalizers = finalizers; migrated {
		out.Annotations[volumes.MigratedTo] = driver
	} else {
		delete(out.Annotations, volumes.MigratedTo)
	}
	return out
}

// migratedClaim returns the claim with the annotation of the driver that stands in for its provisioner; nil if it is so already.
func migratedClaim(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	provisioner, ok := claim.Annotations[volumes.Provisioner]
	if !ok {
		if provisioner, ok = claim.Annotations[volumes.BetaProvisioner]; !ok {
			return nil
		}
	}
	driver, migrated := volumes.Driver(provisioner)
	if claim.Annotations[volumes.MigratedTo] == driver {
		return nil
	}
	out := claim.DeepCopy()
	if migrated {
		out.Annotations[volumes.MigratedTo] = driver
	} else {
		delete(out.Annotations, volumes.MigratedTo)
	}
	return out
}
