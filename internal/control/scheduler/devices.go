package scheduler

import (
	"context"
	"time"

	"sampan.dev/internal/api"
	apidevices "sampan.dev/internal/api/devices"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/scheduler/device"
	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// devices is the informers of claims of devices and of what there is to be had, and the account of what is given away. The informers
// are made when the first pod with such a claim is to be placed, by the scheduler's goroutine; others read them on behalf of such
// pods only.
type devices struct {
	account *device.Account
	claims  *cache.Informer[*resourcev1.ResourceClaim]
	classes *cache.Informer[*resourcev1.DeviceClass]
	slices  *cache.Informer[*resourcev1.ResourceSlice]
	rules   *cache.Informer[*resourcev1.DeviceTaintRule]
	later   func(func(context.Context)) // runs a write beside the scheduler's goroutine
}

// awaitDevices makes the informers, at the first call, and waits until they have read what there is and the account has been told.
func (s *Scheduler) awaitDevices(ctx context.Context) {
	d := s.devices
	if d.claims != nil {
		return
	}
	d.later = func(f func(context.Context)) { s.clerks.do(ctx, func() { f(ctx) }) }
	d.claims = cache.For[*resourcev1.ResourceClaim](s.cfg.Informers, client.ResourceClaims, cache.Options{})
	d.classes = cache.For[*resourcev1.DeviceClass](s.cfg.Informers, client.DeviceClasses, cache.Options{})
	d.slices = cache.For[*resourcev1.ResourceSlice](s.cfg.Informers, client.ResourceSlices, cache.Options{})
	d.rules = cache.For[*resourcev1.DeviceTaintRule](s.cfg.Informers, client.DeviceTaintRules, cache.Options{})
	note := func(now, was any) {
		s.post(func() {
			s.queue.changed(plugin.Change{Event: plugin.DevicesChanged, Object: now, Previous: was}, time.Now())
		})
	}
	claim := func(was, now *resourcev1.ResourceClaim) {
		d.account.Shown(was, now)
		s.storage.wake()
		switch {
		case now == nil:
			note(nil, was)
		case was == nil:
			note(now, nil)
		default:
			note(now, was)
		}
	}
	counted := make(chan struct{})
	d.claims.Handle(cache.Handler[*resourcev1.ResourceClaim]{
		Add: func(c *resourcev1.ResourceClaim) { claim(nil, c) }, Update: claim, Delete: func(c *resourcev1.ResourceClaim) { claim(c, nil) },
		Told: func() { close(counted) },
	})
	d.classes.Handle(noting[*resourcev1.DeviceClass](note))
	d.slices.Handle(noting[*resourcev1.ResourceSlice](note))
	d.rules.Handle(noting[*resourcev1.DeviceTaintRule](note))
	for _, one := range []<-chan struct{}{counted, d.claims.Synced(), d.classes.Synced(), d.slices.Synced(), d.rules.Synced()} {
		select {
		case <-one:
		case <-ctx.Done():
			return
		}
	}
}

func noting[T api.Object](note func(now, was any)) cache.Handler[T] {
	return cache.Handler[T]{
		Add: func(obj T) { note(obj, nil) }, Update: func(old, obj T) { note(obj, old) }, Delete: func(obj T) { note(nil, obj) },
	}
}

// showDevices lets plugins see and change claims.
func (s *Scheduler) showDevices(to *device.Cluster) {
	d := s.devices
	*to = device.Cluster{
		Account: d.account,
		Claim: func(namespace, name string) (*resourcev1.ResourceClaim, bool) {
			return d.claims.Get(namespace, name)
		},
		Class: func(name string) (*resourcev1.DeviceClass, bool) { return d.classes.Get("", name) },
		Slices: func() []*resourcev1.ResourceSlice {
			return apidevices.Tainted(d.slices.List(""), d.rules.List(""))
		},
		Read: func(ctx context.Context, namespace, name string) (*resourcev1.ResourceClaim, error) {
			return client.Get[*resourcev1.ResourceClaim](ctx, s.cfg.Door, client.ResourceClaims, namespace, name)
		},
		Update: func(ctx context.Context, c *resourcev1.ResourceClaim) (*resourcev1.ResourceClaim, error) {
			return client.Update(ctx, s.cfg.Door, client.ResourceClaims, c)
		},
		UpdateStatus: func(ctx context.Context, c *resourcev1.ResourceClaim) (*resourcev1.ResourceClaim, error) {
			return client.UpdateStatus(ctx, s.cfg.Door, client.ResourceClaims, c)
		},
		PatchStatus: func(ctx context.Context, namespace, name string, patch []byte) error {
			ref := client.Ref{Resource: client.ResourceClaims, Namespace: namespace, Name: name, Subresource: "status"}
			_, err := s.cfg.Door.Patch(ctx, ref, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err
		},
		Later: func(f func(context.Context)) { d.later(f) },
		Await: s.storage.await,
		Tell: func(pod *corev1.Pod, reason, note string) {
			s.cfg.Events.Event(pod, corev1.EventTypeNormal, reason, "Scheduling", note)
		},
	}
}
