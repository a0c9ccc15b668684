package volumes

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations of claims and volumes. All but SelectedNode and the provisioners' count by being there, whatever their value.
const (
	// BindCompleted is on a claim that has been bound: what is seen of it from then on is read otherwise.
	BindCompleted = "pv.kubernetes.io/bind-completed"
	// BoundByController is on a claim or volume that the binder, and not a person, has pointed at its other half.
	BoundByController = "pv.kubernetes.io/bound-by-controller"
	// SelectedNode is the node that the scheduler has chosen for a claim whose volume is to be made.
	SelectedNode = "volume.kubernetes.io/selected-node"
	// ProvisionedBy is the provisioner that has made a volume.
	ProvisionedBy = "pv.kubernetes.io/provisioned-by"
	// Provisioner and BetaProvisioner are the provisioner that is to make a volume for the claim.
	Provisioner     = "volume.kubernetes.io/storage-provisioner"
	BetaProvisioner = "volume.beta.kubernetes.io/storage-provisioner"
	// MigratedTo is the CSI driver that stands in for the plugin that a claim or volume names.
	MigratedTo = "pv.kubernetes.io/migrated-to"
	// Resizer is who is to grow the volume of a claim.
	Resizer = "volume.kubernetes.io/storage-resizer"
	// PreResizeCapacity is the capacity that the file system of a grown volume still has.
	PreResizeCapacity = "volume.alpha.kubernetes.io/pre-resize-capacity"
)

// Finalizers of volumes: until the storage itself is gone the object stays.
const (
	ExternalProtection = "external-provisioner.volume.kubernetes.io/finalizer"
	InTreeProtection   = "kubernetes.io/pv-controller"
)

// NoProvisioner is the provisioner of classes whose volumes people make.
const NoProvisioner = "kubernetes.io/no-provisioner"

// HasClass reports whether a claim says of which class it is to be; "" is a class too.
func HasClass(claim *corev1.PersistentVolumeClaim) bool {
	_, beta := claim.Annotations[corev1.BetaStorageClassAnnotation]
	return beta || claim.Spec.StorageClassName != nil
}

// Class is the storage class of a claim, "" for none.
func Class(claim *corev1.PersistentVolumeClaim) string {
	if class, ok := claim.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return class
	}
	if claim.Spec.StorageClassName != nil {
		return *claim.Spec.StorageClassName
	}
	return ""
}

// ClassOf is the storage class of a volume, "" for none.
func ClassOf(pv *corev1.PersistentVolume) string {
	if class, ok := pv.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return class
	}
	return pv.Spec.StorageClassName
}

// Waits reports whether claims of a class are bound only when a pod needs them. class is nil where it is not there, which says no.
func Waits(class *storagev1.StorageClass) (bool, error) {
	if class == nil {
		return false, nil
	}
	if class.VolumeBindingMode == nil {
		return false, fmt.Errorf("VolumeBindingMode not set for StorageClass %q", class.Name)
	}
	return *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer, nil
}

// Request is how many bytes of storage a claim asks for.
func Request(claim *corev1.PersistentVolumeClaim) int64 {
	q := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	return q.Value()
}

// Capacity is how many bytes a volume has.
func Capacity(pv *corev1.PersistentVolume) int64 {
	q := pv.Spec.Capacity[corev1.ResourceStorage]
	return q.Value()
}

// Bound reports whether a claim has its volume, and the binding is complete on the claim's side.
func Bound(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Spec.VolumeName != "" && metav1.HasAnnotation(claim.ObjectMeta, BindCompleted)
}

// Names reports whether a volume names the claim as its own, be it by name alone, as people do, or with the UID.
func Names(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) bool {
	ref := pv.Spec.ClaimRef
	return ref != nil && ref.Name == claim.Name && ref.Namespace == claim.Namespace && (ref.UID == "" || ref.UID == claim.UID)
}

// Reference is what a volume says of the claim that has it.
func Reference(claim *corev1.PersistentVolumeClaim) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
	}
}

// Given returns a volume that names the claim with its UID, and whether it differs from pv: pv itself where it names it already.
func Given(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) (given *corev1.PersistentVolume, changed bool) {
	named := Names(pv, claim)
	full := named && pv.Spec.ClaimRef.UID == claim.UID
	mark := !named && !metav1.HasAnnotation(pv.ObjectMeta, BoundByController)
	if full && !mark {
		return pv, false
	}
	given = pv.DeepCopy()
	given.Spec.ClaimRef = Reference(claim)
	if mark {
		metav1.SetMetaDataAnnotation(&given.ObjectMeta, BoundByController, "yes")
	}
	return given, true
}
