package daemonset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/workload/history"
	"sampan.dev/internal/control/workload/podcontrol"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var setKind = appsv1.SchemeGroupVersion.WithKind("DaemonSet")

// burst bounds the pods that one look makes or deletes. Upstream's 250 keeps a far hub from being flooded; here each look has
// its price, for the next one waits until the views show all that this one did.
const burst = 4000

// controller keeps the pods of DaemonSets.
type controller struct {
	loop.Env
	queue    *loop.Queue
	ledger   *loop.Ledger
	history  *history.Store
	writer   podcontrol.Writer
	failures backoff

	sets  *cache.Informer[*appsv1.DaemonSet]
	pods  *cache.Informer[*corev1.Pod]
	nodes *cache.Informer[*corev1.Node]

	setsView, podsView loop.View
}

// New makes the daemonset-controller.
func New(env loop.Env) loop.Runner {
	c := &controller{Env: env, queue: loop.NewQueue(), ledger: loop.NewLedger()}
	c.sets = cache.For[*appsv1.DaemonSet](env.Informers, client.DaemonSets, cache.Options{})
	c.pods = cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	c.setsView, c.podsView = loop.ViewOf(c.sets), loop.ViewOf(c.pods)
	c.pods.AddIndex(loop.OwnerIndexName, loop.OwnerIndex[*corev1.Pod])
	owners := loop.Owners{
		Kind: setKind.GroupKind(), Queue: c.queue,
		Selectors: loop.SelectorsOf(c.sets, func(ds *appsv1.DaemonSet) *metav1.LabelSelector { return ds.Spec.Selector }),
	}
	c.history = history.NewStore(env, c.ledger, client.DaemonSets, setKind, owners)
	c.writer = podcontrol.Writer{Env: env, Ledger: c.ledger, View: c.podsView}
	c.sets.Handle(loop.Enqueue[*appsv1.DaemonSet](c.queue))
	loop.Follow(c.pods, owners, loop.PodMatters)
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add:    func(n *corev1.Node) { c.nodeChanged(nil, n) },
		Update: c.nodeChanged,
		Delete: func(n *corev1.Node) { c.nodeChanged(n, nil) },
	})
	// A look walks over all nodes: while a thousand pods become ready it rests, and counts many of them at once.
	return &loop.Controller{
		Name: env.Name, Workers: 2, Rest: 4, Queue: c.queue, Log: env.Log, Ledger: c.ledger,
		Synced:    []<-chan struct{}{c.sets.Synced(), c.pods.Synced(), c.nodes.Synced(), c.history.Synced()},
		Reconcile: c.reconcile,
	}
}

// nodeChanged makes the sets due to which a node is another than before: nil is none.
func (c *controller) nodeChanged(old, node *corev1.Node) {
	if old != nil && node != nil && maps.Equal(old.Labels, node.Labels) && apiequality.Semantic.DeepEqual(old.Spec.Taints, node.Spec.Taints) {
		return
	}
	for _, ds := range c.sets.List("") {
		var was, is fit
		judge := newJudge(ds)
		if old != nil {
			was = judge.fit(old)
		}
		if node != nil {
			is = judge.fit(node)
		}
		if was != is {
			c.queue.Add(loop.Key(ds))
		}
	}
}

func (c *controller) reconcile(ctx context.Context, key string) (time.Duration, error) {
	ds, ok := c.sets.Get(loop.SplitKey(key))
	if !ok {
		c.ledger.Forget(key)
		return 0, nil
	}
	if apiequality.Semantic.DeepEqual(ds.Spec.Selector, &metav1.LabelSelector{}) {
		c.Events.Event(ds, corev1.EventTypeWarning, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")
		return 0, nil
	}
	if ds.DeletionTimestamp != nil {
		// What is left of its pods and revisions, and whether they are still its own, is up to the garbage collector.
		return 0, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(ds.Spec.Selector)
	if err != nil {
		c.Log.Error("selector does not parse", "key", key, "err", err) // validation lets none through; nothing to retry
		return 0, nil
	}
	current, old, err := c.revisionsOf(ctx, key, ds, selector)
	if err != nil {
		return 0, fmt.Errorf("failed to construct revisions of DaemonSet: %w", err)
	}
	pods, err := c.ownPods(ctx, key, ds, selector)
	if err != nil {
		return 0, err
	}
	l := newLook(ds, current.Labels[hashLabel], c.nodes.List(""), pods, time.Now())
	again, err := c.carryOut(ctx, key, l)
	if err == nil {
		err = c.truncate(ctx, key, ds, pods, old)
	}
	if statusErr := c.putStatus(ctx, key, ds, l.countStatus()); err == nil {
		err = statusErr
	}
	if l.next > 0 && (again == 0 || l.next < again) {
		again = l.next
	}
	return again, err
}

// ownPods returns the pods of a set, after adopting and releasing.
func (c *controller) ownPods(ctx context.Context, key string, ds *appsv1.DaemonSet, selector labels.Selector) ([]*corev1.Pod, error) {
	claimer := &loop.Claimer{
		Door: c.Door, Resource: client.Pods,
		Owner: ds, OwnerKind: setKind, OwnerResource: client.DaemonSets, Selector: selector,
		Wrote: func(obj api.Object) { c.ledger.Wrote(key, c.podsView, obj) },
	}
	return loop.ClaimAll(ctx, claimer, slices.Concat(
		c.pods.ByIndex(loop.OwnerIndexName, string(ds.UID)),
		c.pods.ByIndex(loop.OwnerIndexName, loop.Orphans(ds.Namespace)),
	))
}

// carryOut makes and deletes the pods that a look asks for, those of a rollout only when there is nothing else to do. It returns
// when a failed pod may be deleted, if one waits for that.
func (c *controller) carryOut(ctx context.Context, key string, l *look) (time.Duration, error) {
	p := l.manage(&c.failures)
	for _, n := range p.news {
		c.Events.Event(l.ds, n.kind, n.reason, n.message)
	}
	again := p.again
	if p.empty() {
		var err error
		if p, err = l.roll(); err != nil {
			return 0, err
		}
	}
	pod := podOf(l.ds, l.hash)
	create, remove := p.create[:min(burst, len(p.create))], p.remove[:min(burst, len(p.remove))]
	_, err := loop.SlowStartEach(len(create), func(i int) error {
		return c.writer.Create(ctx, key, l.ds, pinned(pod, create[i]))
	})
	errs := make([]error, len(remove))
	loop.Together(len(remove), func(i int) { errs[i] = c.writer.Delete(ctx, key, l.ds, remove[i]) })
	return again, errors.Join(append(errs, err)...)
}

// putStatus writes the status if it has changed, on a conflict once more on top of what is there then.
func (c *controller) putStatus(ctx context.Context, key string, ds *appsv1.DaemonSet, s appsv1.DaemonSetStatus) error {
	if s.ObservedGeneration <= ds.Status.ObservedGeneration {
		s.ObservedGeneration = ds.Status.ObservedGeneration
		if apiequality.Semantic.DeepEqual(ds.Status, s) {
			return nil
		}
	}
	write := func(base *appsv1.DaemonSet) (*appsv1.DaemonSet, error) {
		next := base.DeepCopy()
		s.CollisionCount, s.Conditions = next.Status.CollisionCount, next.Status.Conditions
		next.Status = s
		return client.UpdateStatus(ctx, c.Door, client.DaemonSets, next)
	}
	out, err := write(ds)
	if apierrors.IsConflict(err) {
		fresh, readErr := client.Get[*appsv1.DaemonSet](ctx, c.Door, client.DaemonSets, ds.Namespace, ds.Name)
		if readErr != nil || fresh.UID != ds.UID {
			return errors.Join(err, readErr)
		}
		out, err = write(fresh)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("error storing status for daemon set %s: %w", key, err)
	}
	c.ledger.Wrote(key, c.setsView, out)
	return nil
}
