package storage

import (
	"context"
	"fmt"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ephemeral makes the claims of pods' generic ephemeral volumes. They are the pod's and go with it.
type ephemeral struct {
	loop.Env
	pods   *cache.Informer[*corev1.Pod]
	claims *cache.Informer[*corev1.PersistentVolumeClaim]
	ledger *loop.Ledger
}

// NewEphemeral makes the ephemeral-volume-controller.
func NewEphemeral(env loop.Env) loop.Runner {
	e := &ephemeral{
		Env:    env,
		pods:   cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{}),
		claims: cache.For[*corev1.PersistentVolumeClaim](env.Informers, client.PersistentVolumeClaims, cache.Options{}),
		ledger: loop.NewLedger(),
	}
	queue := loop.NewQueue()
	pod := func(p *corev1.Pod) {
		if HasEphemeral(p) {
			queue.Add(loop.Key(p))
		}
	}
	e.pods.Handle(cache.Handler[*corev1.Pod]{Add: pod, Update: func(_, p *corev1.Pod) { pod(p) }})
	e.claims.Handle(cache.Handler[*corev1.PersistentVolumeClaim]{Delete: func(c *corev1.PersistentVolumeClaim) {
		if owner := metav1.GetControllerOf(c); owner != nil && owner.Kind == "Pod" {
			queue.Add(loop.KeyOf(c.Namespace, owner.Name))
			return
		}
		for _, p := range e.pods.List(c.Namespace) { // it may have been in the way of one
			pod(p)
		}
	}})
	return &loop.Controller{Name: env.Name, Queue: queue, Log: env.Log, Ledger: e.ledger, Synced: []<-chan struct{}{e.pods.Synced(), e.claims.Synced()}, Reconcile: e.reconcile}
}

// HasEphemeral reports whether a pod has a volume whose claim is to be made.
func HasEphemeral(p *corev1.Pod) bool {
	for i := range p.Spec.Volumes {
		if p.Spec.Volumes[i].Ephemeral != nil {
			return true
		}
	}
	return false
}

func (e *ephemeral) reconcile(ctx context.Context, key string) (time.Duration, error) {
	pod, ok := e.pods.Get(loop.SplitKey(key))
	if !ok || pod.DeletionTimestamp != nil {
		e.ledger.Forget(key)
		return 0, nil
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Ephemeral == nil {
			continue
		}
		if err := e.provide(ctx, pod, v); err != nil {
			err = fmt.Errorf("ephemeral volume %s: %w", v.Name, err)
			e.Events.Event(pod, corev1.EventTypeWarning, "FailedBinding", err.Error())
			return 0, err
		}
	}
	return 0, nil
}

// provide makes the claim of one volume unless it is there.
func (e *ephemeral) provide(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) error {
	name, _ := volumes.ClaimOf(pod, v)
	if have, ok := e.claims.Get(pod.Namespace, name); ok {
		return volumes.MadeFor(pod, have)
	}
	if wanted, err := e.wanted(ctx, pod); !wanted {
		return err
	}
	made, err := client.Create(ctx, e.Door, client.PersistentVolumeClaims, claimFor(pod, v, name))
	if err != nil {
		return fmt.Errorf("create PVC %s: %w", name, err)
	}
	e.ledger.Wrote(loop.Key(pod), loop.ViewOf(e.claims), made)
	return nil
}

// wanted reports whether a pod is there, by the newest state: the garbage collector may have been told of its end before, and would delete at
// once what is made for it, again and again.
func (e *ephemeral) wanted(ctx context.Context, pod *corev1.Pod) (bool, error) {
	is, err := client.Get[*corev1.Pod](ctx, e.Door, client.Pods, pod.Namespace, pod.Name)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read pod: %w", err)
	}
	return is.UID == pod.UID && is.DeletionTimestamp == nil, nil
}

func claimFor(pod *corev1.Pod, v *corev1.Volume, name string) *corev1.PersistentVolumeClaim {
	t := v.Ephemeral.VolumeClaimTemplate
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: name, Annotations: t.Annotations, Labels: t.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: new(true), BlockOwnerDeletion: new(true)}},
		},
		Spec: *t.Spec.DeepCopy(),
	}
}
