package workload

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")

// deployments keeps the ReplicaSets of Deployments.
type deployments struct {
	loop.Env
	queue  *loop.Queue
	ledger *loop.Ledger

	all  *cache.Informer[*appsv1.Deployment]
	sets *cache.Informer[*appsv1.ReplicaSet]
	pods *cache.Informer[*corev1.Pod]

	allView, setsView loop.View
}

// NewDeployment makes the deployment-controller.
func NewDeployment(env loop.Env) loop.Runner {
	c := &deployments{Env: env, queue: loop.NewQueue(), ledger: loop.NewLedger()}
	c.all = cache.For[*appsv1.Deployment](env.Informers, client.Deployments, cache.Options{})
	c.sets = cache.For[*appsv1.ReplicaSet](env.Informers, client.ReplicaSets, cache.Options{})
	c.pods = cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
	c.allView, c.setsView = loop.ViewOf(c.all), loop.ViewOf(c.sets)
	c.sets.AddIndex(loop.OwnerIndexName, loop.OwnerIndex[*appsv1.ReplicaSet])
	c.pods.AddIndex(loop.OwnerIndexName, loop.OwnerIndex[*corev1.Pod])

	c.all.Handle(loop.Enqueue[*appsv1.Deployment](c.queue))
	selectors := loop.SelectorsOf(c.all, func(d *appsv1.Deployment) *metav1.LabelSelector { return d.Spec.Selector })
	loop.Follow(c.sets, loop.Owners{Kind: deploymentKind.GroupKind(), Queue: c.queue, Selectors: selectors}, nil)
	// Recreate waits for the last old pod to be gone, which no ReplicaSet's status tells.
	c.pods.Handle(cache.Handler[*corev1.Pod]{Delete: c.podGone})
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: c.queue, Log: env.Log, Ledger: c.ledger,
		Synced:    []<-chan struct{}{c.all.Synced(), c.sets.Synced(), c.pods.Synced()},
		Reconcile: c.reconcile,
	}
}

func (c *deployments) podGone(p *corev1.Pod) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != replicaSetKind.Kind {
		return
	}
	rs, ok := c.sets.Get(p.Namespace, ref.Name)
	if !ok || rs.UID != ref.UID {
		return
	}
	owner := metav1.GetControllerOfNoCopy(rs)
	if owner == nil {
		return
	}
	if d, ok := c.all.Get(p.Namespace, owner.Name); ok && d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		c.queue.Add(loop.Key(d))
	}
}

func (c *deployments) reconcile(ctx context.Context, key string) (time.Duration, error) {
	d, ok := c.all.Get(loop.SplitKey(key))
	if !ok {
		c.ledger.Forget(key)
		return 0, nil
	}
	if apiequality.Semantic.DeepEqual(d.Spec.Selector, &metav1.LabelSelector{}) {
		return 0, c.selectsAll(ctx, key, d)
	}
	sets, err := c.ownSets(ctx, key, d)
	if err != nil {
		return 0, err
	}
	plan, err := planDeployment(d, sets, c.podsLeft, time.Now())
	if err != nil {
		return 0, err
	}
	return plan.requeue, c.carryOut(ctx, key, d, plan)
}

func (c *deployments) selectsAll(ctx context.Context, key string, d *appsv1.Deployment) error {
	c.Events.Event(d, corev1.EventTypeWarning, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
	if d.Status.ObservedGeneration >= d.Generation {
		return nil
	}
	d = d.DeepCopy()
	d.Status.ObservedGeneration = d.Generation
	return c.putStatus(ctx, key, d)
}

func (c *deployments) ownSets(ctx context.Context, key string, d *appsv1.Deployment) ([]*appsv1.ReplicaSet, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector of deployment: %w", err)
	}
	claimer := &loop.Claimer{
		Door: c.Door, Resource: client.ReplicaSets,
		Owner: d, OwnerKind: deploymentKind, OwnerResource: client.Deployments, Selector: selector,
		Wrote: func(obj api.Object) { c.ledger.Wrote(key, c.setsView, obj) },
	}
	return loop.ClaimAll(ctx, claimer, slices.Concat(
		c.sets.ByIndex(loop.OwnerIndexName, string(d.UID)),
		c.sets.ByIndex(loop.OwnerIndexName, loop.Orphans(d.Namespace)),
	))
}

// podsLeft reports whether a set owns a pod that has not ended, terminating ones included.
func (c *deployments) podsLeft(set types.UID) bool {
	return slices.ContainsFunc(c.pods.ByIndex(loop.OwnerIndexName, string(set)), func(p *corev1.Pod) bool { return !loop.PodTerminal(p) })
}

// carryOut writes what was planned. Any error leaves the rest to the next look, which plans anew.
func (c *deployments) carryOut(ctx context.Context, key string, d *appsv1.Deployment, plan *deploymentPlan) error {
	if plan.rollback != nil {
		return c.rollBack(ctx, key, d, plan)
	}
	if plan.create != nil {
		if err := c.createSet(ctx, key, d, plan); err != nil {
			return err
		}
	}
	for _, u := range plan.updates {
		out, err := client.Update(ctx, c.Door, client.ReplicaSets, u.set)
		if err != nil {
			return fmt.Errorf("update replica set %s: %w", u.set.Name, err)
		}
		c.ledger.Wrote(key, c.setsView, out)
		if message := u.message(); message != "" {
			c.Events.Event(d, corev1.EventTypeNormal, "ScalingReplicaSet", message)
		}
	}
	for _, rs := range plan.remove {
		if err := client.Delete(ctx, c.Door, client.ReplicaSets, rs.Namespace, rs.Name, rs.UID); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete replica set %s: %w", rs.Name, err)
		}
		c.ledger.Deleted(key, c.setsView, rs)
	}
	if plan.status == nil {
		return nil
	}
	return c.putStatus(ctx, key, plan.status)
}

func (c *deployments) putStatus(ctx context.Context, key string, d *appsv1.Deployment) error {
	out, err := client.UpdateStatus(ctx, c.Door, client.Deployments, d)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("update status: %w", err)
	}
	c.ledger.Wrote(key, c.allView, out)
	return nil
}

// createSet creates the new ReplicaSet, or finds out why it cannot be: a name that is taken is a collision of hashes and is
// resolved by counting it into the hash.
func (c *deployments) createSet(ctx context.Context, key string, d *appsv1.Deployment, plan *deploymentPlan) error {
	rs := plan.create
	out, err := client.Create(ctx, c.Door, client.ReplicaSets, rs)
	switch {
	case err == nil:
		c.ledger.Wrote(key, c.setsView, out)
		if n := *rs.Spec.Replicas; n > 0 {
			c.Events.Eventf(d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled up replica set %s from 0 to %d", rs.Name, n)
		}
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), ctx.Err() != nil:
		return err
	case apierrors.IsAlreadyExists(err):
		return c.collided(ctx, key, d, rs, err)
	}
	msg := fmt.Sprintf("Failed to create new replica set %q: %v", rs.Name, err)
	if hasProgressDeadline(d) {
		d = d.DeepCopy()
		setCondition(&d.Status, condition(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonCreateError, msg, time.Now()))
		_ = c.putStatus(ctx, key, d) // the error that counts is the first
	}
	c.Events.Event(d, corev1.EventTypeWarning, reasonCreateError, msg)
	return err
}

func (c *deployments) collided(ctx context.Context, key string, d *appsv1.Deployment, rs *appsv1.ReplicaSet, cause error) error {
	got, err := client.Get[*appsv1.ReplicaSet](ctx, c.Door, client.ReplicaSets, rs.Namespace, rs.Name)
	if err != nil {
		return err
	}
	if metav1.IsControlledBy(got, d) && sameTemplate(&got.Spec.Template, &d.Spec.Template) {
		// It is ours after all: written by an attempt whose answer was lost. Wait until the view shows it.
		c.ledger.Wrote(key, c.setsView, got)
		c.queue.AddAfter(key, time.Second)
		return cause
	}
	d = d.DeepCopy()
	if d.Status.CollisionCount == nil {
		d.Status.CollisionCount = new(int32)
	}
	*d.Status.CollisionCount++
	c.Log.Info("hash collision", "key", key, "set", rs.Name, "collision_count", *d.Status.CollisionCount)
	if err := c.putStatus(ctx, key, d); err != nil {
		return err
	}
	return cause
}

// rollBack carries out the deprecated annotation that asks for an earlier revision.
func (c *deployments) rollBack(ctx context.Context, key string, d *appsv1.Deployment, plan *deploymentPlan) error {
	out, err := client.Update(ctx, c.Door, client.Deployments, plan.rollback)
	if err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	c.ledger.Wrote(key, c.allView, out)
	c.Events.Event(d, plan.rollbackEvent.kind, plan.rollbackEvent.reason, plan.rollbackEvent.message)
	return nil
}
