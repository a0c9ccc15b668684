package workload

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/workload/podcontrol"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// flavor is what ReplicaSets and ReplicationControllers differ in. The core sees both as ReplicaSets; the TypeMeta of those
// it gets says what they really are.
type flavor struct {
	kind     schema.GroupVersionKind
	resource schema.GroupVersionResource
	view     loop.View

	countsTerminating bool // the status has a field for pods on their way out

	get  func(namespace, name string) (*appsv1.ReplicaSet, bool)
	list func(namespace string) []*appsv1.ReplicaSet
	// siblings are the sets of the same controller as rs, rs among them.
	siblings func(rs *appsv1.ReplicaSet) []*appsv1.ReplicaSet
	// putStatus writes rs.Status to base, the object as it was read (nil: what the core got it from).
	putStatus func(ctx context.Context, base api.Object, s appsv1.ReplicaSetStatus) (api.Object, error)
	base      func(namespace, name string) (api.Object, bool)
}

// replicas keeps the pods of sets at their number.
type replicas struct {
	loop.Env
	flavor
	queue  *loop.Queue
	ledger *loop.Ledger
	pods   *cache.Informer[*corev1.Pod]
	view   loop.View // of pods
	writer podcontrol.Writer
}

func newReplicas(env loop.Env, f flavor, synced <-chan struct{}, queue *loop.Queue) *loop.Controller {
	r := &replicas{Env: env, flavor: f, queue: queue, ledger: loop.NewLedger()}
	r.pods = cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
	r.pods.AddIndex(loop.OwnerIndexName, loop.OwnerIndex[*corev1.Pod])
	r.view = loop.ViewOf(r.pods)
	r.writer = podcontrol.Writer{Env: env, Ledger: r.ledger, View: r.view}
	loop.Follow(r.pods, loop.Owners{Kind: f.kind.GroupKind(), Queue: queue, Selectors: r.selectors}, loop.PodMatters)
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: queue, Log: env.Log, Ledger: r.ledger,
		Synced:    []<-chan struct{}{synced, r.pods.Synced()},
		Reconcile: r.reconcile,
	}
}

// selectors are those of the sets of a namespace, by key.
func (r *replicas) selectors(namespace string) iter.Seq2[string, *metav1.LabelSelector] {
	return func(yield func(string, *metav1.LabelSelector) bool) {
		for _, rs := range r.list(namespace) {
			if !yield(loop.Key(rs), rs.Spec.Selector) {
				return
			}
		}
	}
}

func (r *replicas) reconcile(ctx context.Context, key string) (time.Duration, error) {
	rs, ok := r.get(loop.SplitKey(key))
	if !ok {
		r.ledger.Forget(key)
		return 0, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil {
		r.Log.Error("selector does not parse", "key", key, "err", err) // validation lets none through; nothing to retry
		return 0, nil
	}
	active, terminating, err := r.ownPods(ctx, key, rs, selector)
	if err != nil {
		return 0, err
	}
	var failure error
	if rs.DeletionTimestamp == nil {
		related := func() []*corev1.Pod { return r.related(rs, active) }
		create, remove := planReplicas(*rs.Spec.Replicas, active, related, time.Now())
		failure = errors.Join(r.create(ctx, key, rs, create), r.remove(ctx, key, rs, remove))
	}
	status, next := statusOf(rs, active, terminating, failure, time.Now())
	if !r.countsTerminating {
		status.TerminatingReplicas = nil
	}
	if err := r.updateStatus(ctx, key, rs, status); err != nil {
		return 0, err
	}
	return next, failure
}

// ownPods returns the pods of rs that are active, after adopting and releasing, and those that are on their way out.
func (r *replicas) ownPods(ctx context.Context, key string, rs *appsv1.ReplicaSet, selector labels.Selector) (active, terminating []*corev1.Pod, err error) {
	candidates := slices.Concat(r.pods.ByIndex(loop.OwnerIndexName, string(rs.UID)),
		r.pods.ByIndex(loop.OwnerIndexName, loop.Orphans(rs.Namespace)))
	for _, p := range candidates {
		switch {
		case loop.PodActive(p):
			active = append(active, p)
		case !loop.PodTerminal(p) && metav1.IsControlledBy(p, rs) && selector.Matches(labels.Set(p.Labels)):
			terminating = append(terminating, p)
		}
	}
	claimer := &loop.Claimer{
		Door: r.Door, Resource: client.Pods,
		Owner: rs, OwnerKind: r.kind, OwnerResource: r.resource, Selector: selector,
		Wrote: func(obj api.Object) { r.ledger.Wrote(key, r.view, obj) },
	}
	active, err = loop.ClaimAll(ctx, claimer, active)
	return active, terminating, err
}

func (r *replicas) related(rs *appsv1.ReplicaSet, own []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, sibling := range r.siblings(rs) {
		if sibling.UID == rs.UID {
			continue
		}
		out = append(out, r.pods.ByIndex(loop.OwnerIndexName, string(sibling.UID))...)
	}
	return append(out, own...)
}

func (r *replicas) create(ctx context.Context, key string, rs *appsv1.ReplicaSet, n int) error {
	if n == 0 {
		return nil
	}
	r.Log.Debug("too few replicas", "key", key, "want", *rs.Spec.Replicas, "creating", n)
	pod := podcontrol.New(&rs.Spec.Template, rs, r.kind)
	_, err := loop.SlowStart(n, func() error { return r.writer.Create(ctx, key, rs, pod) })
	return err
}

func (r *replicas) remove(ctx context.Context, key string, rs *appsv1.ReplicaSet, pods []*corev1.Pod) error {
	if len(pods) == 0 {
		return nil
	}
	r.Log.Debug("too many replicas", "key", key, "want", *rs.Spec.Replicas, "deleting", len(pods))
	errs := make([]error, len(pods))
	loop.Together(len(pods), func(i int) { errs[i] = r.writer.Delete(ctx, key, rs, pods[i]) })
	for _, err := range errs {
		if err != nil {
			return err // they are likely all the same
		}
	}
	return nil
}

// updateStatus writes the status if it changed, on a conflict once more on top of what is there then: the deployment
// controller writes to the same object.
func (r *replicas) updateStatus(ctx context.Context, key string, rs *appsv1.ReplicaSet, s appsv1.ReplicaSetStatus) error {
	if sameStatus(&rs.Status, &s) {
		return nil
	}
	base, ok := r.base(rs.Namespace, rs.Name)
	if !ok || base.GetUID() != rs.UID {
		return nil
	}
	out, err := r.putStatus(ctx, base, s)
	if apierrors.IsConflict(err) {
		ref := client.Ref{Resource: r.resource, Namespace: rs.Namespace, Name: rs.Name}
		got, getErr := r.Door.Get(ctx, ref, metav1.GetOptions{})
		if getErr != nil {
			return getErr
		}
		fresh, ok := got.(api.Object)
		if !ok || fresh.GetUID() != rs.UID {
			return err
		}
		out, err = r.putStatus(ctx, fresh, s)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("update status: %w", err)
	}
	r.ledger.Wrote(key, r.flavor.view, out)
	return nil
}
