package storage

import (
	"context"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
)

// expander tells claims that are to grow who they wait for: no kind of volume is grown by controllers of ours. Those of CSI drivers wait for the
// driver's resizer, which watches claims itself; node/csi does what is left to nodes.
type expander struct {
	loop.Env
	claims *cache.Informer[*corev1.PersistentVolumeClaim]
	pvs    *cache.Informer[*corev1.PersistentVolume]
}

// NewExpander makes the persistentvolume-expander-controller.
func NewExpander(env loop.Env) loop.Runner {
	e := &expander{Env: env,
		claims: cache.For[*corev1.PersistentVolumeClaim](env.Informers, client.PersistentVolumeClaims, cache.Options{}),
		pvs:    cache.For[*corev1.PersistentVolume](env.Informers, client.PersistentVolumes, cache.Options{}),
	}
	queue := loop.NewQueue()
	e.claims.Handle(cache.Handler[*corev1.PersistentVolumeClaim]{
		Add: func(c *corev1.PersistentVolumeClaim) {
			if wantsMore(c) {
				queue.Add(loop.Key(c))
			}
		},
		Update: func(old, c *corev1.PersistentVolumeClaim) {
			if wantsMore(c) && (!wantsMore(old) || volumes.Request(old) != volumes.Request(c)) {
				queue.Add(loop.Key(c))
			}
		},
	})
	return &loop.Controller{Name: env.Name, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{e.claims.Synced(), e.pvs.Synced()}, Reconcile: e.reconcile}
}

// wantsMore reports whether a claim that has a volume asks for more than it has.
func wantsMore(c *corev1.PersistentVolumeClaim) bool {
	has := c.Status.Capacity[corev1.ResourceStorage]
	return c.Status.Phase == corev1.ClaimBound && volumes.Request(c) > has.Value()
}

// externalExpanding is the event about a claim that waits for its volume's growth; "" where our own provisioner grows it.
func externalExpanding(pv *corev1.PersistentVolume) (kind string) {
	switch {
	case !Driven(pv):
		return ""
	case pv.Spec.CSI != nil, pv.Spec.FlexVolume != nil:
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning // nobody is known to grow such a volume
}

func (e *expander) reconcile(_ context.Context, key string) (time.Duration, error) {
	c, ok := e.claims.Get(loop.SplitKey(key))
	if !ok || !wantsMore(c) {
		return 0, nil
	}
	pv, ok := e.pvs.Get("", c.Spec.VolumeName)
	if !ok || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != c.UID {
		return 0, nil
	}
	if kind := externalExpanding(pv); kind != "" {
		e.Events.Event(c, kind, "ExternalExpanding", "waiting for an external controller to expand this PVC")
	}
	return 0, nil
}
