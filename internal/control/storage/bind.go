package storage

import (
	"context"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bind makes a volume and a claim each other's, the volume first.
func (b *binder) bind(ctx context.Context, pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	given, changed := volumes.Given(pv, claim)
	var err error
	if changed {
		if given, err = b.updateVolume(ctx, given); err != nil {
			return err
		}
	}
	if given, err = b.enter(ctx, given, corev1.VolumeBound); err != nil {
		return err
	}
	if next := withVolume(claim, given); next != nil {
		if claim, err = b.updateClaim(ctx, next); err != nil {
			return err
		}
	}
	next, err := withStatus(claim, corev1.ClaimBound, given)
	if err != nil || next == nil {
		return err
	}
	if next, err = client.UpdateStatus(ctx, b.Door, client.PersistentVolumeClaims, next); err == nil {
		b.claims.note(next)
	}
	return err
}

// provision tells who makes the volumes of a class that the claim needs one.
func (b *binder) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	who := provisioner(class)
	if claim.Annotations[volumes.Provisioner] == who {
		return nil
	}
	next := claim.DeepCopy()
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, volumes.BetaProvisioner, who)
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, volumes.Provisioner, who)
	_, err := b.updateClaim(ctx, next)
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		b.tell(claim, warning("ProvisioningFailed", "Error saving claim: %v", err))
	}
	return err
}

func (b *binder) updateClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	out, err := client.Update(ctx, b.Door, client.PersistentVolumeClaims, claim)
	if err == nil {
		b.claims.note(out)
	}
	return out, err
}

func (b *binder) updateVolume(ctx context.Context, pv *corev1.PersistentVolume) (*corev1.PersistentVolume, error) {
	out, err := client.Update(ctx, b.Door, client.PersistentVolumes, pv)
	if err == nil {
		b.volumes.note(out)
	}
	return out, err
}

// enter writes a volume's phase, if it is another.
func (b *binder) enter(ctx context.Context, pv *corev1.PersistentVolume, phase corev1.PersistentVolumePhase) (*corev1.PersistentVolume, error) {
	if pv.Status.Phase == phase {
		return pv, nil
	}
	next := pv.DeepCopy()
	next.Status.Phase, next.Status.Message = phase, ""
	out, err := client.UpdateStatus(ctx, b.Door, client.PersistentVolumes, next)
	if err == nil {
		b.volumes.note(out)
	}
	return out, err
}
