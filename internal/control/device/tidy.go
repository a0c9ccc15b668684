package device

import (
	"context"
	"fmt"
	"slices"

	"sampan.dev/internal/api/devices"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// plan is what is to be done to a claim.
type plan struct {
	status *resourcev1.ResourceClaimStatus // to be written; nil: it is right
	free   bool                            // the finalizer goes: the claim has no devices
	remove bool                            // the claim goes: it was made for a pod that needs it no more
}

// planFor decides on a claim. stale reports whether a consumer is certain to be gone or done, owned whether the pod that the claim was
// made for is certain not to need it.
func planFor(k *resourcev1.ResourceClaim, stale func(resourcev1.ResourceClaimConsumerReference) bool, unneeded bool) plan {
	left := slices.DeleteFunc(slices.Clone(k.Status.ReservedFor), stale)
	held := slices.Contains(k.Finalizers, resourcev1.Finalizer)
	p := plan{remove: len(left) == 0 && unneeded}
	switch {
	case len(left) < len(k.Status.ReservedFor):
		next := k.Status.DeepCopy()
		next.ReservedFor = left
		if len(left) == 0 && held {
			next.Allocation = nil // it is given where it is asked for next
		}
		p.status, p.free = next, held && next.Allocation == nil
	case held && k.DeletionTimestamp != nil && len(left) == 0:
		if k.Status.Allocation != nil {
			p.status = k.Status.DeepCopy()
			p.status.Allocation = nil
		}
		p.free = true
	case held && k.Status.Allocation == nil && len(left) == 0 && p.remove:
		p.free = true // a crash came before it went, or before the devices were written
	}
	return p
}

// tidy takes consumers that are gone out of a claim, and frees it when it has none left.
func (c *claims) tidy(ctx context.Context, k *resourcev1.ResourceClaim) error {
	stale, err := c.staleOf(ctx, k)
	if err != nil {
		return err
	}
	p := planFor(k, func(r resourcev1.ResourceClaimConsumerReference) bool { return stale[r.UID] }, c.unneeded(k))
	next := k
	if p.status != nil {
		next = next.DeepCopy()
		next.Status = *p.status
		if next, err = client.UpdateStatus(ctx, c.Door, client.ResourceClaims, next); err != nil {
			return ignoreGone(err)
		}
	}
	if p.free {
		next = next.DeepCopy()
		next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == resourcev1.Finalizer })
		if next, err = client.Update(ctx, c.Door, client.ResourceClaims, next); err != nil {
			return ignoreGone(err)
		}
	}
	if p.remove && k.DeletionTimestamp == nil {
		if err := client.Delete(ctx, c.Door, client.ResourceClaims, k.Namespace, k.Name, k.UID); ignoreGone(err) != nil {
			return fmt.Errorf("delete unused generated claim %s: %w", loop.Key(k), err)
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// staleOf are the pods that a claim is reserved for and that are certain to be gone or done. One that is not in view may be newer than
// the view: the hub is asked.
func (c *claims) staleOf(ctx context.Context, k *resourcev1.ResourceClaim) (map[types.UID]bool, error) {
	out := map[types.UID]bool{}
	for _, r := range k.Status.ReservedFor {
		if !devices.IsPod(r) {
			continue
		}
		pod, ok := c.pods.Get(k.Namespace, r.Name)
		switch {
		case c.gone.has(r.UID):
			out[r.UID] = true
		case ok:
			out[r.UID] = pod.UID != r.UID || devices.Done(pod)
		default:
			pod, err := client.Get[*corev1.Pod](ctx, c.Door, client.Pods, k.Namespace, r.Name)
			if err != nil && !apierrors.IsNotFound(err) {
				return nil, err
			}
			out[r.UID] = err != nil || pod.UID != r.UID
		}
	}
	return out, nil
}

// unneeded reports whether a claim was made for a pod that is in view and will not use it. A pod that is out of view is for the garbage
// collector.
func (c *claims) unneeded(k *resourcev1.ResourceClaim) bool {
	name, uid := devices.Owner(k)
	if name == "" {
		return false
	}
	pod, ok := c.pods.Get(k.Namespace, name)
	return ok && (pod.UID != uid || devices.Done(pod))
}
