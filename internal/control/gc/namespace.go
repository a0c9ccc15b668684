package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/sync/errgroup"
)

const (
	finalizerEstimate = 15 * time.Second // for objects that wait for somebody's finalizer
	kindsAtATime      = 16
	goneDelay         = 100 * time.Millisecond // gathers the deletions of a namespace's objects into few looks
)

// namespaces empties and ends namespaces that are being deleted.
type namespaces struct {
	loop.Env
	world *World
	all   *cache.Informer[*corev1.Namespace]
	grace time.Duration
}

// NewNamespace makes the namespace-controller. grace is waited after a namespace is marked for deletion before anything is
// done: with several hubs, the time that their views of namespaces may lag, in which they still let objects in (upstream:
// 5 s); zero when there is one.
func NewNamespace(env loop.Env, world *World, grace time.Duration) loop.Runner {
	c := &namespaces{Env: env, grace: grace, world: world}
	queue := loop.NewQueue()
	c.all = cache.For[*corev1.Namespace](env.Informers, client.Namespaces, cache.Options{})
	changed := func(ns *corev1.Namespace) {
		if ns.DeletionTimestamp != nil {
			queue.AddAfter(ns.Name, ns.DeletionTimestamp.Add(grace).Sub(time.Now()))
		}
	}
	c.all.Handle(cache.Handler[*corev1.Namespace]{Add: changed, Update: func(_, ns *corev1.Namespace) { changed(ns) }})
	world.handle(func(k *api.Kind) cache.Handler[api.Object] {
		if !k.Namespaced {
			return cache.Handler[api.Object]{}
		}
		return cache.Handler[api.Object]{Delete: func(obj api.Object) {
			if ns, ok := c.all.Get("", obj.GetNamespace()); ok && ns.DeletionTimestamp != nil {
				queue.AddAfter(ns.Name, goneDelay)
			}
		}}
	})
	return &loop.Controller{
		Name: env.Name, Workers: 10, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{c.all.Synced()},
		Reconcile: c.reconcile,
	}
}

// contents lists what a namespace may hold: what is namespaced and can be deleted, pods first.
func contents(kinds *api.Kinds) []*api.Kind {
	var out []*api.Kind
	for _, k := range kinds.All() {
		if !k.Namespaced || k.Virtual || k.View != nil || !k.Can("list") || !k.Can("delete") {
			continue
		}
		if k.GVR() == client.Pods {
			out = slices.Insert(out, 0, k)
		} else {
			out = append(out, k)
		}
	}
	return out
}

func (c *namespaces) reconcile(ctx context.Context, name string) (time.Duration, error) {
	ns, err := client.Get[*corev1.Namespace](ctx, c.Door, client.Namespaces, "", name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil || ns.DeletionTimestamp == nil || len(ns.Spec.Finalizers) == 0 {
		return 0, err
	}
	if ns.Status.Phase != corev1.NamespaceTerminating {
		ns = ns.DeepCopy()
		ns.Status.Phase = corev1.NamespaceTerminating
		if ns, err = client.UpdateStatus(ctx, c.Door, client.Namespaces, ns); err != nil {
			return 0, ignoreGone(err)
		}
	}
	left := c.empty(ctx, ns)
	if ns, err = c.report(ctx, ns, left); err != nil {
		return 0, ignoreGone(err)
	}
	if len(left.errs) == 1 {
		return 0, left.errs[0]
	}
	if err := errors.Join(left.errs...); err != nil {
		return 0, err
	}
	if left.estimate > 0 {
		return left.estimate/2 + time.Second, nil
	}
	return 0, ignoreGone(c.finalize(ctx, ns))
}

// empty deletes all there is in a namespace: pods, and when they are gone the rest, which they may still need.
func (c *namespaces) empty(ctx context.Context, ns *corev1.Namespace) *remaining {
	left := newRemaining()
	rest := contents(c.world.served())
	if len(rest) > 0 && rest[0].GVR() == client.Pods {
		if c.emptyKind(ctx, ns, rest[0], left); len(left.count) > 0 {
			return left
		}
		rest = rest[1:]
	}
	// Most kinds have nothing there, and to be sure of that waits for their caches: they wait together.
	each := make([]*remaining, len(rest))
	var all errgroup.Group
	all.SetLimit(kindsAtATime)
	for i, k := range rest {
		each[i] = newRemaining()
		all.Go(func() error {
			c.emptyKind(ctx, ns, k, each[i])
			return nil
		})
	}
	_ = all.Wait() // what went wrong is in each
	for _, r := range each {
		left.merge(r)
	}
	c.emptyElsewhere(ctx, ns, left)
	return left
}

// emptyElsewhere deletes what others than the hub have in a namespace. One that does not answer is named in the namespace's status,
// and holds nothing up: upstream waits until it is back, or until somebody takes its APIService away.
func (c *namespaces) emptyElsewhere(ctx context.Context, ns *corev1.Namespace, left *remaining) {
	other, ok := c.Door.(client.Elsewhere)
	if !ok {
		return
	}
	kinds, unknown := other.Elsewhere()
	for _, k := range kinds {
		gv := k.GVK().GroupVersion()
		if !k.Namespaced || !k.Can("list") || !k.Can("delete") || slices.Contains(unknown, gv) {
			continue
		}
		r := newRemaining()
		c.emptyKind(ctx, ns, k, r)
		if slices.ContainsFunc(r.errs, unreachable) {
			unknown = append(unknown, gv)
			continue
		}
		left.merge(r)
	}
	for _, gv := range unknown {
		left.unknown = append(left.unknown, gv.String())
	}
}

// unreachable reports whether an error says that nobody answered.
func unreachable(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return !errors.As(err, new(loop.Pending))
	}
	return apierrors.IsServiceUnavailable(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
}

func (c *namespaces) emptyKind(ctx context.Context, ns *corev1.Namespace, k *api.Kind, left *remaining) {
	ref := client.Ref{Resource: k.GVR(), Namespace: ns.Name, Metadata: k.GVR() != client.Pods} // of pods, their grace counts
	list, err := c.Door.List(ctx, ref, metav1.ListOptions{})
	if err != nil {
		left.fail(err)
		return
	}
	if len(list.Items) == 0 {
		return
	}
	estimate := graceOf(list.Items)
	if time.Since(ns.DeletionTimestamp.Time) >= estimate {
		estimate = 0
	}
	if err := c.deleteAll(ctx, k, ref, list.Items); err != nil {
		left.wait(estimate)
		left.fail(err)
		return
	}
	if list, err = c.Door.List(ctx, ref, metav1.ListOptions{}); err != nil {
		left.wait(estimate)
		left.fail(err)
		return
	}
	if !left.add(k, list.Items, estimate) {
		left.fail(loop.Pending{Err: fmt.Errorf("unexpected items still remain in namespace: %s for gvr: %v", ns.Name, k.GVR())})
	}
}

func (c *namespaces) deleteAll(ctx context.Context, k *api.Kind, ref client.Ref, items []api.Object) error {
	background := metav1.DeletePropagationBackground
	opts := metav1.DeleteOptions{PropagationPolicy: &background}
	if k.Can("deletecollection") {
		return c.Door.DeleteCollection(ctx, ref, opts, metav1.ListOptions{})
	}
	for _, obj := range items {
		ref.Name = obj.GetName()
		if err := c.Door.Delete(ctx, ref, opts); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// graceOf is the longest time that pods may take to end.
func graceOf(items []api.Object) time.Duration {
	most := int64(0)
	for _, obj := range items {
		if pod, ok := obj.(*corev1.Pod); ok && !loop.PodTerminal(pod) && pod.Spec.TerminationGracePeriodSeconds != nil {
			most = max(most, *pod.Spec.TerminationGracePeriodSeconds)
		}
	}
	return time.Duration(most) * time.Second
}

// report writes the conditions, if they changed.
func (c *namespaces) report(ctx context.Context, ns *corev1.Namespace, left *remaining) (*corev1.Namespace, error) {
	conditions, changed := mergeConditions(ns.Status.Conditions, left.conditions(), metav1.Now())
	if !changed {
		return ns, nil
	}
	ns = ns.DeepCopy()
	ns.Status.Conditions = conditions
	return client.UpdateStatus(ctx, c.Door, client.Namespaces, ns)
}

// finalize takes our finalizer off the namespace, which ends it if it was the last.
func (c *namespaces) finalize(ctx context.Context, ns *corev1.Namespace) error {
	ns = ns.DeepCopy()
	ns.Spec.Finalizers = slices.DeleteFunc(ns.Spec.Finalizers, func(f corev1.FinalizerName) bool { return f == corev1.FinalizerKubernetes })
	_, err := c.Door.Update(ctx, client.Ref{Resource: client.Namespaces, Name: ns.Name, Subresource: "finalize"}, ns, metav1.UpdateOptions{})
	return err
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
