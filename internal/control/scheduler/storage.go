package scheduler

import (
	"context"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/scheduler/plugin"
	"sampan.dev/internal/control/scheduler/volume"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// storage is the informers of claims, volumes and what belongs to them. They are made when the first pod with a claim is to be placed,
// by the scheduler's goroutine; others read them through a volume.Storage, on behalf of such pods only.
type storage struct {
	claims      *cache.Informer[*corev1.PersistentVolumeClaim]
	volumes     *cache.Informer[*corev1.PersistentVolume]
	classes     *cache.Informer[*storagev1.StorageClass]
	csiNodes    *cache.Informer[*storagev1.CSINode]
	drivers     *cache.Informer[*storagev1.CSIDriver]
	capacities  *cache.Informer[*storagev1.CSIStorageCapacity]
	attachments *cache.Informer[*storagev1.VolumeAttachment]

	mu struct {
		sync.Mutex
		changed chan struct{} // closed at the next change of a claim (of devices, too), a volume or a pod that somebody waits for; nil while nobody does
	}
}

// awaitStorage makes the informers, at the first call, and waits until they have read what there is.
func (s *Scheduler) awaitStorage(ctx context.Context) {
	t := s.storage
	if t.claims != nil {
		return
	}
	var synced []<-chan struct{}
	t.claims = follow[*corev1.PersistentVolumeClaim](s, client.PersistentVolumeClaims, &synced)
	t.volumes = follow[*corev1.PersistentVolume](s, client.PersistentVolumes, &synced)
	t.classes = follow[*storagev1.StorageClass](s, client.StorageClasses, &synced)
	t.csiNodes = follow[*storagev1.CSINode](s, client.CSINodes, &synced)
	t.drivers = follow[*storagev1.CSIDriver](s, client.CSIDrivers, &synced)
	t.capacities = follow[*storagev1.CSIStorageCapacity](s, client.CSIStorageCapacities, &synced)
	t.attachments = follow[*storagev1.VolumeAttachment](s, client.VolumeAttachments, &synced)
	for _, one := range synced {
		select {
		case <-one:
		case <-ctx.Done():
			return
		}
	}
}

// follow makes an informer whose changes wake those who wait for them, and the pods that they help.
func follow[T api.Object](s *Scheduler, res schema.GroupVersionResource, synced *[]<-chan struct{}) *cache.Informer[T] {
	i := cache.For[T](s.cfg.Informers, res, cache.Options{})
	note := func(now, was any) {
		s.storage.wake()
		s.post(func() {
			s.queue.changed(plugin.Change{Event: plugin.StorageChanged, Object: now, Previous: was}, time.Now())
		})
	}
	i.Handle(cache.Handler[T]{
		Add: func(obj T) { note(obj, nil) }, Update: func(old, obj T) { note(obj, old) }, Delete: func(obj T) { note(nil, obj) },
	})
	*synced = append(*synced, i.Synced())
	return i
}

// wake lets those look again who wait in await.
func (t *storage) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.changed != nil {
		close(t.mu.changed)
		t.mu.changed = nil
	}
}

// next is closed at the next change.
func (t *storage) next() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.changed == nil {
		t.mu.changed = make(chan struct{})
	}
	return t.mu.changed
}

// await calls done until it says yes or fails.
func (t *storage) await(ctx context.Context, done func() (bool, error)) error {
	for {
		next := t.next()
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// showStorage lets plugins see and change claims and volumes.
func (s *Scheduler) showStorage(to *volume.Storage) {
	t := s.storage
	*to = volume.Storage{
		Claim: func(namespace, name string) (*corev1.PersistentVolumeClaim, bool) {
			return t.claims.Get(namespace, name)
		},
		Volume:  func(name string) (*corev1.PersistentVolume, bool) { return t.volumes.Get("", name) },
		OfClass: t.ofClass,
		Class:   func(name string) (*storagev1.StorageClass, bool) { return t.classes.Get("", name) },
		CSINode: func(node string) (*storagev1.CSINode, bool) { return t.csiNodes.Get("", node) },
		Driver:  func(name string) (*storagev1.CSIDriver, bool) { return t.drivers.Get("", name) },
		Capacities: func() []*storagev1.CSIStorageCapacity {
			return t.capacities.List("")
		},
		Attachments: t.attachedTo,
		Node:        func(name string) (*corev1.Node, bool) { return s.nodes.Get("", name) },
		Pod:         func(namespace, name string) (*corev1.Pod, bool) { return s.pods.Get(namespace, name) },
		UpdateVolume: func(ctx context.Context, pv *corev1.PersistentVolume) (*corev1.PersistentVolume, error) {
			return client.Update(ctx, s.cfg.Door, client.PersistentVolumes, pv)
		},
		UpdateClaim: func(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
			return client.Update(ctx, s.cfg.Door, client.PersistentVolumeClaims, claim)
		},
		Await: t.await,
	}
}

func (t *storage) ofClass(class string) []*corev1.PersistentVolume {
	var out []*corev1.PersistentVolume
	for _, pv := range t.volumes.List("") {
		if volumes.ClassOf(pv) == class {
			out = append(out, pv)
		}
	}
	return out
}

func (t *storage) attachedTo(node string) []*storagev1.VolumeAttachment {
	var out []*storagev1.VolumeAttachment
	for _, a := range t.attachments.List("") {
		if a.Spec.NodeName == node {
			out = append(out, a)
		}
	}
	return out
}
