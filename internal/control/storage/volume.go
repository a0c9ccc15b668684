package storage

import (
	"context"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// lookAtVolume carries out the plan for a volume.
func (b *binder) lookAtVolume(ctx context.Context, key string) (time.Duration, error) {
	pv, ok := b.volumes.get("", key)
	if !ok {
		return 0, nil
	}
	if next := marked(pv); next != nil {
		_, err := b.updateVolume(ctx, next)
		return 0, gone(err)
	}
	claim, err := b.claimOf(ctx, pv)
	if err != nil {
		return 0, err
	}
	return 0, gone(b.carryOut(ctx, planVolume(pv, claim), pv, claim))
}

// claimOf returns the claim that a volume names, nil when it is gone. What the view does not have is asked of the hub: a provisioner's or
// the scheduler's volume may be seen before the claim is.
func (b *binder) claimOf(ctx context.Context, pv *corev1.PersistentVolume) (*corev1.PersistentVolumeClaim, error) {
	ref := pv.Spec.ClaimRef
	if ref == nil || ref.UID == "" {
		return nil, nil
	}
	claim, ok := b.claims.get(ref.Namespace, ref.Name)
	if ok && claim.UID == ref.UID {
		return claim, nil
	}
	if !ok && (pv.Status.Phase == corev1.VolumeReleased || pv.Status.Phase == corev1.VolumeFailed) {
		return nil, nil
	}
	claim, err := client.Get[*corev1.PersistentVolumeClaim](ctx, b.Door, client.PersistentVolumeClaims, ref.Namespace, ref.Name)
	if apierrors.IsNotFound(err) || err == nil && claim.UID != ref.UID {
		return nil, nil
	}
	return claim, err
}

func (b *binder) carryOut(ctx context.Context, p volumePlan, pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	var err error
	if p.phase != "" {
		if pv, err = b.enter(ctx, pv, p.phase); err != nil {
			return err
		}
	}
	if p.unbind {
		if pv, err = b.updateVolume(ctx, unbound(pv)); err != nil {
			return err
		}
		if _, err = b.enter(ctx, pv, corev1.VolumeAvailable); err != nil {
			return err
		}
	}
	if p.onPV != nil {
		b.tell(pv, p.onPV)
	}
	if p.onClaim != nil {
		b.tell(claim, p.onClaim)
	}
	if p.wake {
		b.ofClaims.Add(loop.Key(claim))
	}
	if p.reclaim {
		return b.reclaim(ctx, pv)
	}
	return nil
}
