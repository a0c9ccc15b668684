package kubelet

import (
	"context"
	"time"

	"sampan.dev/internal/client"

	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// leaseNamespace holds the heartbeats of all nodes.
const leaseNamespace = "kube-node-lease"

// heartbeatLimit bounds a call that tells the hub that the node is alive, as upstream's client for these is bounded: one that hangs
// on a connection nobody answers must not keep the next from being made before the node counts as dead.
const heartbeatLimit = 10 * time.Second

// runLease renews the node's Lease every quarter of its duration.
func (k *Kubelet) runLease(ctx context.Context) {
	period := k.cfg.LeaseDuration / 4
	var lease *coordv1.Lease
	backoff := 200 * time.Millisecond
	for {
		next, err := k.renewLease(ctx, lease)
		wait := period
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			k.cfg.Log.Debug("lease not renewed", "error", err)
			lease = nil
			wait = min(backoff, period)
			backoff = min(2*backoff, 7*time.Second)
		} else {
			lease, backoff = next, 200*time.Millisecond
			if len(next.OwnerReferences) == 0 {
				wait = min(wait, time.Second) // the node was not known yet
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// renewLease writes the renew time; last is what was written before, nil when it has to be looked for.
func (k *Kubelet) renewLease(ctx context.Context, last *coordv1.Lease) (*coordv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, heartbeatLimit)
	defer cancel()
	name := k.cfg.NodeName
	var err error
	if last == nil {
		last, err = client.Get[*coordv1.Lease](ctx, k.cfg.Door, client.Leases, leaseNamespace, name)
		if apierrors.IsNotFound(err) {
			l := &coordv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: leaseNamespace, Name: name}}
			k.fillLease(l)
			return client.Create(ctx, k.cfg.Door, client.Leases, l)
		}
		if err != nil {
			return nil, err
		}
	}
	l := last.DeepCopy()
	k.fillLease(l)
	return client.Update(ctx, k.cfg.Door, client.Leases, l)
}

func (k *Kubelet) fillLease(l *coordv1.Lease) {
	now := metav1.NewMicroTime(time.Now())
	seconds := int32(k.cfg.LeaseDuration / time.Second)
	holder := k.cfg.NodeName
	l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.RenewTime = &holder, &seconds, &now
	if len(l.OwnerReferences) == 0 {
		if n, ok := k.node.Get("", k.cfg.NodeName); ok {
			l.OwnerReferences = []metav1.OwnerReference{{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Node", Name: n.Name, UID: n.UID}}
		}
	}
}
