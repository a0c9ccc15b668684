package register

import (
	"context"
	"log/slog"
	"time"

	"sampan.dev/internal/client"

	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LeaseNamespace holds the heartbeats of all nodes.
const LeaseNamespace = corev1.NamespaceNodeLease

// HeartbeatLimit bounds a call that tells the hub that the node is alive, as upstream's client for these is bounded: one that hangs
// on a connection nobody answers must not keep the next from being made before the node counts as dead.
const HeartbeatLimit = 10 * time.Second

// lease is the heart of a node: a Lease of the node's name whose time is written again and again.
type lease struct {
	hub      client.Interface
	node     string
	duration time.Duration
	owner    func() (*corev1.Node, bool)  // the node as the hub has it
	begin    func() (acknowledged func()) // see Config.Renewal; may be nil
	log      *slog.Logger
}

// run renews the Lease every quarter of its duration until ctx ends, and sooner after a failure.
func (l *lease) run(ctx context.Context) {
	period := l.duration / 4
	var last *coordv1.Lease
	backoff := 200 * time.Millisecond
	for {
		acknowledged := func() {}
		if l.begin != nil {
			acknowledged = l.begin()
		}
		next, err := l.renew(ctx, last)
		wait := period
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			l.log.Debug("lease not renewed", "error", err)
			last = nil
			wait = min(backoff, period)
			backoff = min(2*backoff, 7*time.Second)
		} else {
			last, backoff = next, 200*time.Millisecond
			acknowledged()
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

// renew writes the renew time; last is what was written before, nil when it has to be looked for.
func (l *lease) renew(ctx context.Context, last *coordv1.Lease) (*coordv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, HeartbeatLimit)
	defer cancel()
	var err error
	if last == nil {
		last, err = client.Get[*coordv1.Lease](ctx, l.hub, client.Leases, LeaseNamespace, l.node)
		if apierrors.IsNotFound(err) {
			next := &coordv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: LeaseNamespace, Name: l.node}}
			l.fill(next)
			return client.Create(ctx, l.hub, client.Leases, next)
		}
		if err != nil {
			return nil, err
		}
	}
	next := last.DeepCopy()
	l.fill(next)
	return client.Update(ctx, l.hub, client.Leases, next)
}

// fill makes a Lease this node's as of now, owned by the node once the hub knows it.
func (l *lease) fill(next *coordv1.Lease) {
	now := metav1.NewMicroTime(time.Now())
	seconds := int32(l.duration / time.Second)
	holder := l.node
	next.Spec.HolderIdentity, next.Spec.LeaseDurationSeconds, next.Spec.RenewTime = &holder, &seconds, &now
	if len(next.OwnerReferences) == 0 {
		if n, ok := l.owner(); ok {
			next.OwnerReferences = []metav1.OwnerReference{{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Node", Name: n.Name, UID: n.UID}}
		}
	}
}
