package storage

import (
	"fmt"
	"maps"
	"reflect"

	"sampan.dev/internal/api/volumes"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statusOf returns the status of a claim that enters a phase: what it has of the volume it is bound to, pv; nil for none.
func statusOf(claim *corev1.PersistentVolumeClaim, phase corev1.PersistentVolumeClaimPhase, pv *corev1.PersistentVolume) (corev1.PersistentVolumeClaimStatus, error) {
	s, enters := *claim.Status.DeepCopy(), claim.Status.Phase != phase
	bound := claim.Status.Phase == corev1.ClaimPending && phase == corev1.ClaimBound
	s.Phase = phase
	if pv == nil {
		s.AccessModes, s.Capacity, s.CurrentVolumeAttributesClassName = nil, nil, nil
		return s, nil
	}
	s.AccessModes = pv.Spec.AccessModes
	if bound { // later it is for the resizer
		s.CurrentVolumeAttributesClassName = pv.Spec.VolumeAttributesClassName
	}
	if !enters {
		return s, nil // a capacity that differs may be that of a file system which has not grown yet
	}
	size, ok := pv.Spec.Capacity[corev1.ResourceStorage]
	if !ok {
		return s, fmt.Errorf("PersistentVolume %q is without a storage capacity", pv.Name)
	}
	if before, ok := pv.Annotations[volumes.PreResizeCapacity]; ok {
		if q, err := resource.ParseQuantity(before); err == nil {
			size = q
		}
		s.Capacity = maps.Clone(s.Capacity)
		if s.Capacity == nil {
			s.Capacity = corev1.ResourceList{}
		}
		s.Capacity[corev1.ResourceStorage] = size
	} else if have, ok := s.Capacity[corev1.ResourceStorage]; !ok || have.Cmp(size) != 0 {
		s.Capacity = pv.Spec.Capacity
	}
	return s, nil
}

// withStatus returns the claim in a phase, nil if it is as it should be.
func withStatus(claim *corev1.PersistentVolumeClaim, phase corev1.PersistentVolumeClaimPhase, pv *corev1.PersistentVolume) (*corev1.PersistentVolumeClaim, error) {
	s, err := statusOf(claim, phase, pv)
	if err != nil || reflect.DeepEqual(s, claim.Status) {
		return nil, err
	}
	out := claim.DeepCopy()
	out.Status = s
	return out, nil
}

// withVolume returns the claim with a volume as its own, nil if it has it.
func withVolume(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) *corev1.PersistentVolumeClaim {
	named, complete := claim.Spec.VolumeName == pv.Name, metav1.HasAnnotation(claim.ObjectMeta, volumes.BindCompleted)
	if named && complete {
		return nil
	}
	out := claim.DeepCopy()
	if !named {
		out.Spec.VolumeName = pv.Name
		if !metav1.HasAnnotation(out.ObjectMeta, volumes.BoundByController) {
			metav1.SetMetaDataAnnotation(&out.ObjectMeta, volumes.BoundByController, "yes")
		}
	}
	if !complete {
		metav1.SetMetaDataAnnotation(&out.ObjectMeta, volumes.BindCompleted, "yes")
	}
	return out
}
