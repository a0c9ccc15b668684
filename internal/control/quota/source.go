package quota

import (
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/quota"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Resources whose objects count as more than their number.
var (
	volumeClaims = corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims")
	deviceClaims = resourcev1.SchemeGroupVersion.WithResource("resourceclaims")
)

// watch begins to follow the objects of a resource. Of those that are merely counted only the metadata is followed.
func (c *counter) watch(r schema.GroupVersionResource) *source {
	switch r {
	case client.Pods:
		return follow[*corev1.Pod](c, r, false)
	case client.Services:
		return follow[*corev1.Service](c, r, false)
	case volumeClaims:
		return follow[*corev1.PersistentVolumeClaim](c, r, false)
	case deviceClaims:
		return follow[*resourcev1.ResourceClaim](c, r, false)
	}
	return follow[api.Object](c, r, true)
}

// addedCounts is when quotas are counted anew after an object has come. It has been charged, but for one that came while the quota was
// new: to nobody's knowledge then, and perhaps not yet in this informer when the quota was counted first.
const addedCounts = time.Second

// follow counts the quotas of a namespace anew when an object of it goes, or counts as something else than before, and somewhat later
// when one comes.
func follow[T api.Object](c *counter, r schema.GroupVersionResource, metadata bool) *source {
	m := quota.Of(r.GroupResource())
	i := cache.For[T](c.env.Informers, r, cache.Options{Metadata: metadata})
	h := cache.Handler[T]{
		Add:    func(obj T) { c.recount(m, obj.GetNamespace(), addedCounts) },
		Delete: func(obj T) { c.recount(m, obj.GetNamespace(), 0) },
	}
	if !metadata {
		h.Update = func(old, obj T) {
			if len(c.quotas.List(obj.GetNamespace())) > 0 && !quota.Equal(m.Usage(old), m.Usage(obj)) {
				c.recount(m, obj.GetNamespace(), 0)
			}
		}
	}
	i.Handle(h)
	return &source{measure: m, synced: i.Synced(), list: func(namespace string) []runtime.Object {
		all := i.List(namespace)
		out := make([]runtime.Object, len(all))
		for n, obj := range all {
			out[n] = obj
		}
		return out
	}}
}

// recount has those quotas of a namespace counted anew after a while that objects of a measure count towards.
func (c *counter) recount(m *quota.Measure, namespace string, after time.Duration) {
	for _, q := range c.quotas.List(namespace) {
		if m.Tracks(q) {
			c.queue.AddAfter(loop.Key(q), after)
		}
	}
}
