package statefulset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apps"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/workload/history"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var (
	setKind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")
	podKind = corev1.SchemeGroupVersion.WithKind("Pod")
)

// controller keeps the pods and claims of StatefulSets.
type controller struct {
	loop.Env
	queue    *loop.Queue
	ledger   *loop.Ledger
	history  *history.Store
	complete func(api.Object) // fills in the defaults of a StatefulSet

	sets   *cache.Informer[*appsv1.StatefulSet]
	pods   *cache.Informer[*corev1.Pod]
	claims *cache.Informer[*corev1.PersistentVolumeClaim]

	setsView, podsView, claimsView loop.View
}

// New makes the statefulset-controller.
func New(env loop.Env) loop.Runner {
	c := &controller{Env: env, queue: loop.NewQueue(), ledger: loop.NewLedger(), complete: apps.StatefulSets().Default}
	c.sets = cache.For[*appsv1.StatefulSet](env.Informers, client.StatefulSets, cache.Options{})
	c.pods = cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
	c.claims = cache.For[*corev1.PersistentVolumeClaim](env.Informers, client.PersistentVolumeClaims, cache.Options{})
	c.setsView, c.podsView, c.claimsView = loop.ViewOf(c.sets), loop.ViewOf(c.pods), loop.ViewOf(c.claims)
	c.pods.AddIndex(loop.OwnerIndexName, loop.OwnerIndex[*corev1.Pod])
	owners := loop.Owners{
		Kind: setKind.GroupKind(), Queue: c.queue,
		Selectors: loop.SelectorsOf(c.sets, func(s *appsv1.StatefulSet) *metav1.LabelSelector { return s.Spec.Selector }),
	}
	c.history = history.NewStore(env, c.ledger, client.StatefulSets, setKind, owners)
	c.sets.Handle(loop.Enqueue[*appsv1.StatefulSet](c.queue))
	loop.Follow(c.pods, owners, podMatters)
	c.claims.Handle(cache.Handler[*corev1.PersistentVolumeClaim]{Delete: c.claimGone})
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: c.queue, Log: env.Log, Ledger: c.ledger,
		Synced:    []<-chan struct{}{c.sets.Synced(), c.pods.Synced(), c.claims.Synced(), c.history.Synced()},
		Reconcile: c.reconcile,
	}
}

// podMatters adds the phase, for claims that are missing are made again while a pod is pending.
func podMatters(old, p *corev1.Pod) bool {
	return old.Status.Phase != p.Status.Phase || loop.PodMatters(old, p)
}

// claimGone makes the sets due that a claim may have been of, so that a pending pod gets another, and a pod that waits for the
// end of an earlier one's claim is made.
func (c *controller) claimGone(claim *corev1.PersistentVolumeClaim) {
	for _, set := range c.sets.List(claim.Namespace) {
		for i := range set.Spec.VolumeClaimTemplates {
			if strings.HasPrefix(claim.Name, set.Spec.VolumeClaimTemplates[i].Name+"-"+set.Name+"-") {
				c.queue.Add(loop.Key(set))
			}
		}
	}
}

func (c *controller) reconcile(ctx context.Context, key string) (time.Duration, error) {
	set, ok := c.sets.Get(loop.SplitKey(key))
	if !ok {
		c.ledger.Forget(key)
		return 0, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		c.Log.Error("selector does not parse", "key", key, "err", err) // validation lets none through; nothing to retry
		return 0, nil
	}
	revisions, err := c.history.Claim(ctx, key, set, selector, false)
	if err != nil {
		return 0, err
	}
	pods, err := c.ownPods(ctx, key, set, selector)
	if err != nil {
		return 0, err
	}
	return c.sync(ctx, key, set, revisions, pods)
}

// ownPods returns the pods of a set, after adopting those that are named after it and releasing those that it does not select.
func (c *controller) ownPods(ctx context.Context, key string, set *appsv1.StatefulSet, selector labels.Selector) ([]*corev1.Pod, error) {
	claimer := &loop.Claimer{
		Door: c.Door, Resource: client.Pods,
		Owner: set, OwnerKind: setKind, OwnerResource: client.StatefulSets, Selector: selector,
		Member: func(obj api.Object) bool { parent, _ := parse(obj.GetName()); return parent == set.Name },
		Wrote:  func(obj api.Object) { c.ledger.Wrote(key, c.podsView, obj) },
	}
	return loop.ClaimAll(ctx, claimer, slices.Concat(
		c.pods.ByIndex(loop.OwnerIndexName, string(set.UID)),
		c.pods.ByIndex(loop.OwnerIndexName, loop.Orphans(set.Namespace)),
	))
}

// sync carries out one look at a set: its revisions, its pods, its status, the end of old revisions. What of it fails is
// reported after all of it has been tried that does not hang on the failure.
func (c *controller) sync(ctx context.Context, key string, set *appsv1.StatefulSet, revisions []*appsv1.ControllerRevision, pods []*corev1.Pod) (time.Duration, error) {
	now := time.Now()
	rev, err := c.revisionsOf(ctx, key, set, revisions)
	if err != nil || rev == nil {
		return 0, err
	}
	l := &look{set: set, rev: rev, pods: pods, claim: func(name string) (*corev1.PersistentVolumeClaim, bool) { return c.claims.Get(set.Namespace, name) }, now: now}
	plan, err := planSet(l)
	if err != nil {
		return 0, err
	}
	out, failure := c.carryOut(ctx, key, set, plan)
	status := l.statusAfter(&plan.status, out)
	err = c.putStatus(ctx, key, set, status)
	if failure != nil {
		err = failure
	}
	if truncated := c.truncate(ctx, key, set, pods, revisions, rev); err == nil {
		err = truncated
	}
	if err != nil {
		return 0, err
	}
	if set.Spec.MinReadySeconds > 0 && status.ReadyReplicas != status.AvailableReplicas {
		return untilAvailable(set, pods, now), nil
	}
	return 0, nil
}

// putStatus writes the status if it has changed, on a conflict once more on top of what is there then.
func (c *controller) putStatus(ctx context.Context, key string, set *appsv1.StatefulSet, s *appsv1.StatefulSetStatus) error {
	if sameStatus(&set.Status, s) {
		return nil
	}
	write := func(base *appsv1.StatefulSet) (*appsv1.StatefulSet, error) {
		next := base.DeepCopy()
		next.Status = *s
		return client.UpdateStatus(ctx, c.Door, client.StatefulSets, next)
	}
	out, err := write(set)
	if apierrors.IsConflict(err) {
		fresh, readErr := client.Get[*appsv1.StatefulSet](ctx, c.Door, client.StatefulSets, set.Namespace, set.Name)
		if readErr != nil || fresh.UID != set.UID {
			return errors.Join(err, readErr)
		}
		out, err = write(fresh)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("update status: %w", err)
	}
	c.ledger.Wrote(key, c.setsView, out)
	return nil
}
