package gc

import (
	"context"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/scheduling"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
)

// protection keeps the objects of one resource from going while others use them, by a finalizer that admission sets on them
// (StorageObjectInUseProtection) and nobody else takes off. What is there is known from the metadata in World; whether an
// object is used is asked of the hub, when the object is to go.
type protection[T api.Object] struct {
	loop.Env
	resource  schema.GroupVersionResource
	finalizer string
	used      func(ctx context.Context, door client.Reader, obj T) (bool, error)
	once      bool // an object that has lost the finalizer does not get it back

	mu struct {
		sync.Mutex
		waiting map[string]bool // keys of what is to go and is used, or may be
	}
}

// NewClaimProtection makes the persistentvolumeclaim-protection-controller: a claim stays while a pod on a node has it, and tells
// whether any pod refers to it.
func NewClaimProtection(env loop.Env, world *World) loop.Runner {
	c := &protection[*corev1.PersistentVolumeClaim]{
		Env: env, resource: client.PersistentVolumeClaims, finalizer: "kubernetes.io/pvc-protection", used: claimUsed,
	}
	return loop.All{c.runner(world, client.Pods), newUnused(env, world)}
}

// NewVolumeProtection makes the persistentvolume-protection-controller: a volume stays while it is bound.
func NewVolumeProtection(env loop.Env, world *World) loop.Runner {
	c := &protection[*corev1.PersistentVolume]{
		Env: env, resource: client.PersistentVolumes, finalizer: "kubernetes.io/pv-protection",
		used: func(_ context.Context, _ client.Reader, pv *corev1.PersistentVolume) (bool, error) {
			return pv.Status.Phase == corev1.VolumeBound, nil
		},
	}
	return c.runner(world)
}

// NewAttributesProtection makes the volumeattributesclass-protection-controller: a class stays while a claim or a volume has it.
func NewAttributesProtection(env loop.Env, world *World) loop.Runner {
	c := &protection[*storagev1.VolumeAttributesClass]{
		Env: env, resource: client.VolumeAttributesClasses, finalizer: "kubernetes.io/vac-protection", used: attributesUsed,
	}
	return c.runner(world, client.PersistentVolumeClaims, client.PersistentVolumes)
}

// NewGroupProtection makes the podgroup-protection-controller: a PodGroup stays while there is a pod of it that has not ended.
func NewGroupProtection(env loop.Env, world *World) loop.Runner {
	c := &protection[*schedulingv1alpha3.PodGroup]{
		Env: env, resource: client.PodGroups, finalizer: scheduling.GroupFinalizer, used: groupUsed, once: true,
	}
	return c.runner(world, client.Pods)
}

// runner makes the controller. users are the resources whose changes may end a use.
func (c *protection[T]) runner(world *World, users ...schema.GroupVersionResource) loop.Runner {
	c.mu.waiting = map[string]bool{}
	queue := loop.NewQueue()
	changed := func(obj api.Object) {
		dying := obj.GetDeletionTimestamp() != nil
		if dying == slices.Contains(obj.GetFinalizers(), c.finalizer) && (dying || !c.once) {
			queue.Add(loop.Key(obj))
		}
	}
	freed := func(user api.Object) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for key := range c.mu.waiting {
			if namespace, _ := loop.SplitKey(key); namespace == "" || namespace == user.GetNamespace() {
				queue.Add(key)
			}
		}
	}
	world.handle(func(k *api.Kind) cache.Handler[api.Object] {
		switch {
		case k.GVR() == c.resource:
			return cache.Handler[api.Object]{
				Add: changed, Update: func(_, obj api.Object) { changed(obj) },
				Delete: func(obj api.Object) { c.wait(loop.Key(obj), false) },
			}
		case slices.Contains(users, k.GVR()):
			return cache.Handler[api.Object]{Update: func(_, obj api.Object) { freed(obj) }, Delete: freed}
		}
		return cache.Handler[api.Object]{}
	})
	return &loop.Controller{Name: c.Name, Workers: 1, Queue: queue, Log: c.Log, Reconcile: c.reconcile}
}

// wait notes that an object waits for the end of its use, or no longer does.
func (c *protection[T]) wait(key string, waits bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if waits {
		c.mu.waiting[key] = true
	} else {
		delete(c.mu.waiting, key)
	}
}

func (c *protection[T]) reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name := loop.SplitKey(key)
	obj, err := client.Get[T](ctx, c.Door, c.resource, namespace, name)
	if err != nil {
		return 0, ignoreGone(err)
	}
	dying, has := obj.GetDeletionTimestamp() != nil, slices.Contains(obj.GetFinalizers(), c.finalizer)
	if dying != has {
		return 0, nil
	}
	if dying {
		c.wait(key, true) // before the look, so that a use that ends after it is seen
		if used, err := c.used(ctx, c.Door, obj); used || err != nil {
			return 0, err
		}
	}
	obj = obj.DeepCopyObject().(T)
	if dying {
		obj.SetFinalizers(slices.DeleteFunc(obj.GetFinalizers(), func(f string) bool { return f == c.finalizer }))
	} else {
		obj.SetFinalizers(append(obj.GetFinalizers(), c.finalizer))
	}
	if _, err := client.Update(ctx, c.Door, c.resource, obj); err != nil {
		return 0, ignoreGone(err)
	}
	c.wait(key, false)
	return 0, nil
}

// claimUsed tells whether a pod that a node may have started has the claim.
func claimUsed(ctx context.Context, door client.Reader, pvc *corev1.PersistentVolumeClaim) (bool, error) {
	all, err := client.ListAll[*corev1.Pod](ctx, door, client.Pods, pvc.Namespace, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(all, func(p *corev1.Pod) bool { return pods.HasClaim(p, pvc) }), nil
}

// groupUsed tells whether a pod that has not ended is of the group.
func groupUsed(ctx context.Context, door client.Reader, group *schedulingv1alpha3.PodGroup) (bool, error) {
	all, err := client.ListAll[*corev1.Pod](ctx, door, client.Pods, group.Namespace, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(all, func(p *corev1.Pod) bool {
		g := p.Spec.SchedulingGroup
		return g != nil && ptr.Deref(g.PodGroupName, "") == group.Name && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
	}), nil
}

// attributesUsed tells whether a claim or a volume names the class.
func attributesUsed(ctx context.Context, door client.Reader, class *storagev1.VolumeAttributesClass) (bool, error) {
	claims, err := client.ListAll[*corev1.PersistentVolumeClaim](ctx, door, client.PersistentVolumeClaims, "", metav1.ListOptions{})
	if err != nil || slices.ContainsFunc(claims, func(pvc *corev1.PersistentVolumeClaim) bool {
		change := pvc.Status.ModifyVolumeStatus
		return ptr.Deref(pvc.Spec.VolumeAttributesClassName, "") == class.Name ||
			ptr.Deref(pvc.Status.CurrentVolumeAttributesClassName, "") == class.Name ||
			change != nil && change.TargetVolumeAttributesClassName == class.Name
	}) {
		return err == nil, err
	}
	volumes, err := client.ListAll[*corev1.PersistentVolume](ctx, door, client.PersistentVolumes, "", metav1.ListOptions{})
	return slices.ContainsFunc(volumes, func(pv *corev1.PersistentVolume) bool {
		return ptr.Deref(pv.Spec.VolumeAttributesClassName, "") == class.Name
	}), err
}
