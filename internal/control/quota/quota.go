package quota

import (
	"context"
	"time"

	"sampan.dev/internal/api/quota"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Served tells which version of a resource is served; ok is false for one that is not.
type Served func(schema.GroupResource) (schema.GroupVersionResource, bool)

// recountEvery is when all quotas are counted anew though nothing is known to have changed. It is upstream's default.
const recountEvery = 5 * time.Minute

// Objects that are being created are charged before they are stored. A count made between the two would take the charge back, so less
// than a quota has in use is written only after nothing has changed the quota for as long as a write takes; under constant writing, after
// patience.
const (
	quiet    = 200 * time.Millisecond
	patience = 5 * time.Second
)

// counter is the controller. All fields but the informers are of the queue's one goroutine.
type counter struct {
	env     loop.Env
	queue   *loop.Queue
	served  Served
	quotas  *cache.Informer[*corev1.ResourceQuota]
	sources map[schema.GroupVersionResource]*source
	seen    map[string]sight // by key
}

// sight is when a state of a quota was first seen, and since when less has been in use than it says.
type sight struct {
	revision string
	at       time.Time
	less     time.Time // zero: not
}

// New makes the resourcequota-controller. Account: resourcequota-controller.
func New(env loop.Env, served Served) loop.Runner {
	c := &counter{
		env: env, queue: loop.NewQueue(), served: served, quotas: cache.For[*corev1.ResourceQuota](env.Informers, client.ResourceQuotas, cache.Options{}),
		sources: map[schema.GroupVersionResource]*source{}, seen: map[string]sight{},
	}
	c.quotas.Handle(cache.Handler[*corev1.ResourceQuota]{
		Add: func(q *corev1.ResourceQuota) { c.queue.Add(loop.Key(q)) },
		Update: func(old, q *corev1.ResourceQuota) {
			if !quota.Equal(old.Spec.Hard, q.Spec.Hard) || q.Status.Hard == nil {
				c.queue.Add(loop.Key(q))
			}
		},
		Delete: func(q *corev1.ResourceQuota) { c.queue.Add(loop.Key(q)) },
	})
	return &loop.Controller{
		Name: env.Name, Workers: 1, Queue: c.queue, Log: env.Log, Synced: []<-chan struct{}{c.quotas.Synced()}, Reconcile: c.reconcile,
	}
}

func (c *counter) reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name := loop.SplitKey(key)
	q, ok := c.quotas.Get(namespace, name)
	if !ok {
		delete(c.seen, key)
		return 0, nil
	}
	counted := corev1.ResourceList{}
	for _, s := range c.sourcesOf(q) {
		select {
		case <-s.synced:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		counted = quota.Add(counted, s.measure.Used(q, s.list(namespace)))
	}
	status, dirty, less := plan(q, counted)
	if wait := c.settle(key, q, less); wait > 0 {
		return wait, nil
	}
	if !dirty {
		return recountEvery, nil
	}
	out := q.DeepCopy()
	out.Status = status
	switch _, err := client.UpdateStatus(ctx, c.env.Door, client.ResourceQuotas, out); {
	case apierrors.IsNotFound(err):
		return 0, nil
	case apierrors.IsConflict(err):
		return quiet, nil // somebody is being charged: it is counted again
	case err != nil:
		return 0, err
	}
	return recountEvery, nil
}

// plan is what a quota's status becomes when so much is in use; dirty reports whether that is another than it has, and less whether
// less of anything is in use than it says. What cannot be counted stays.
func plan(q *corev1.ResourceQuota, counted corev1.ResourceList) (status corev1.ResourceQuotaStatus, dirty, less bool) {
	hard := quota.Add(nil, q.Spec.Hard)
	used := quota.Add(nil, q.Status.Used)
	for name, n := range counted {
		if have, ok := used[name]; ok && n.Cmp(have) < 0 {
			less = true
		}
		used[name] = n
	}
	used = quota.Mask(used, hard)
	dirty = q.Status.Hard == nil || q.Status.Used == nil || !quota.Equal(hard, q.Status.Hard) || !quota.Equal(used, q.Status.Used)
	return corev1.ResourceQuotaStatus{Hard: hard, Used: used}, dirty, less
}

// settle is how long to wait before less than is in use may be written.
func (c *counter) settle(key string, q *corev1.ResourceQuota, less bool) time.Duration {
	now := time.Now()
	s := c.seen[key]
	if s.revision != q.ResourceVersion {
		s.revision, s.at = q.ResourceVersion, now
	}
	if !less {
		s.less = time.Time{}
	} else if s.less.IsZero() {
		s.less = now
	}
	c.seen[key] = s
	if !less || now.Sub(s.less) >= patience {
		return 0
	}
	return max(0, quiet-now.Sub(s.at))
}

// source is the objects of one resource that quotas limit.
type source struct {
	measure *quota.Measure
	synced  <-chan struct{}
	list    func(namespace string) []runtime.Object
}

// sourcesOf are those that a quota limits something of. Their informers are started when the first quota does.
func (c *counter) sourcesOf(q *corev1.ResourceQuota) []*source {
	var out []*source
	for _, r := range quota.Resources(q) {
		gvr, ok := c.served(r)
		if !ok {
			continue
		}
		s := c.sources[gvr]
		if s == nil {
			s = c.watch(gvr)
			c.sources[gvr] = s
		}
		out = append(out, s)
	}
	return out
}
