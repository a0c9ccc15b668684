package device

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sampan.dev/internal/api/devices"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// Keys of the queue are a pod's or a claim's.
const (
	ofPod   = "pod:"
	ofClaim = "claim:"
)

const (
	byName     = "names of claims"        // indexes pods by "namespace/claim"
	byTemplate = "names of templates"     // indexes pods by "namespace/template"
	byOwner    = "uid of the pod it's of" // indexes claims
)

// claims is the resourceclaim-controller. The ledger keeps a pod waiting until the claims that were made for it are in view, so that
// none is made twice.
type claims struct {
	loop.Env
	pods      *cache.Informer[*corev1.Pod]
	claims    *cache.Informer[*resourcev1.ResourceClaim]
	templates *cache.Informer[*resourcev1.ResourceClaimTemplate]
	view      loop.View // of claims
	queue     *loop.Queue
	ledger    *loop.Ledger
	gone      uids
}

// NewClaims makes the resourceclaim-controller. Account: resource-claim-controller.
func NewClaims(env loop.Env) loop.Runner {
	c := &claims{
		Env: env, queue: loop.NewQueue(), ledger: loop.NewLedger(),
		pods:      cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{}),
		claims:    cache.For[*resourcev1.ResourceClaim](env.Informers, client.ResourceClaims, cache.Options{}),
		templates: cache.For[*resourcev1.ResourceClaimTemplate](env.Informers, client.ResourceClaimTemplates, cache.Options{}),
	}
	c.view = loop.ViewOf(c.claims)
	c.pods.AddIndex(byName, claimNames)
	c.pods.AddIndex(byTemplate, templateNames)
	c.claims.AddIndex(byOwner, owners)
	c.pods.Handle(cache.Handler[*corev1.Pod]{
		Add: c.podSeen, Update: func(_, p *corev1.Pod) { c.podSeen(p) },
		Delete: func(p *corev1.Pod) {
			if devices.Has(p) {
				c.gone.add(p.UID)
				c.release(p)
			}
		},
	})
	c.claims.Handle(cache.Handler[*resourcev1.ResourceClaim]{
		Add: c.claimSeen, Update: func(_, k *resourcev1.ResourceClaim) { c.claimSeen(k) }, Delete: c.users,
	})
	template := func(t *resourcev1.ResourceClaimTemplate) {
		for _, p := range c.pods.ByIndex(byTemplate, t.Namespace+"/"+t.Name) {
			c.podSeen(p)
		}
	}
	c.templates.Handle(cache.Handler[*resourcev1.ResourceClaimTemplate]{Add: template, Update: func(_, t *resourcev1.ResourceClaimTemplate) { template(t) }})
	return &loop.Controller{
		Name: env.Name, Workers: 50, Elastic: true, Queue: c.queue, Ledger: c.ledger, Log: env.Log,
		Synced:    []<-chan struct{}{c.pods.Synced(), c.claims.Synced(), c.templates.Synced()},
		Reconcile: c.reconcile,
	}
}

func claimNames(p *corev1.Pod) (out []string) {
	if !devices.Has(p) {
		return nil
	}
	for _, name := range devices.Names(p) {
		out = append(out, p.Namespace+"/"+name)
	}
	return out
}

func templateNames(p *corev1.Pod) (out []string) {
	for i := range p.Spec.ResourceClaims {
		if name := p.Spec.ResourceClaims[i].ResourceClaimTemplateName; name != nil {
			out = append(out, p.Namespace+"/"+*name)
		}
	}
	return out
}

func owners(k *resourcev1.ResourceClaim) []string {
	if _, uid := devices.Owner(k); uid != "" {
		return []string{string(uid)}
	}
	return nil
}

func (c *claims) podSeen(p *corev1.Pod) {
	if !devices.Has(p) {
		return
	}
	if devices.Done(p) { // nothing is made for it any more, least of all what has just been deleted
		c.release(p)
	} else if p.DeletionTimestamp == nil {
		c.queue.Add(ofPod + loop.Key(p))
	}
}

// release has the claims of a pod looked at that needs them no more.
func (c *claims) release(p *corev1.Pod) {
	for _, name := range devices.Names(p) {
		c.queue.Add(ofClaim + loop.KeyOf(p.Namespace, name))
	}
}

func (c *claims) claimSeen(k *resourcev1.ResourceClaim) {
	c.queue.Add(ofClaim + loop.Key(k))
	c.users(k)
}

// users has the pods looked at that name a claim.
func (c *claims) users(k *resourcev1.ResourceClaim) {
	for _, p := range c.pods.ByIndex(byName, k.Namespace+"/"+k.Name) {
		c.podSeen(p)
	}
}

func (c *claims) reconcile(ctx context.Context, key string) (time.Duration, error) {
	if rest, ok := strings.CutPrefix(key, ofPod); ok {
		if pod, ok := c.pods.Get(loop.SplitKey(rest)); ok && pod.DeletionTimestamp == nil && !devices.Done(pod) {
			return 0, c.serve(ctx, key, pod)
		}
		return 0, nil
	}
	if k, ok := c.claims.Get(loop.SplitKey(strings.TrimPrefix(key, ofClaim))); ok {
		return 0, c.tidy(ctx, k)
	}
	return 0, nil
}

// serve makes the claims that a pod has by templates, tells the pod their names, and reserves claims for a pod that was put on its node
// by others than a scheduler.
func (c *claims) serve(ctx context.Context, key string, pod *corev1.Pod) error {
	made := map[string]string{}
	for i := range pod.Spec.ResourceClaims {
		want := &pod.Spec.ResourceClaims[i]
		name, err := c.provide(ctx, key, pod, want)
		if err != nil {
			c.Events.Event(pod, corev1.EventTypeWarning, "FailedResourceClaimCreation", fmt.Sprintf("PodResourceClaim %s: %v", want.Name, err))
			return fmt.Errorf("pod %s/%s, PodResourceClaim %s: %w", pod.Namespace, pod.Name, want.Name, err)
		}
		if name != "" {
			made[want.Name] = name
		}
	}
	if len(made) > 0 {
		if err := c.tell(ctx, pod, made); err != nil {
			return fmt.Errorf("update pod %s/%s ResourceClaimStatuses: %w", pod.Namespace, pod.Name, err)
		}
	}
	if pod.Spec.NodeName == "" {
		return nil // reserving is for the scheduler
	}
	return c.reserve(ctx, pod)
}

// reserve adds a pod that has a node to the claims that have devices.
func (c *claims) reserve(ctx context.Context, pod *corev1.Pod) error {
	for i := range pod.Spec.ResourceClaims {
		name, own, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil || name == nil {
			continue // its name is being written
		}
		k, ok := c.claims.Get(pod.Namespace, *name)
		if !ok {
			return nil
		}
		if own {
			if err := resourceclaim.IsForPod(pod, k, false); err != nil {
				return err
			}
		}
		if k.Status.Allocation == nil || resourceclaim.IsReservedForPod(pod, k, false) {
			continue
		}
		next := k.DeepCopy()
		next.Status.ReservedFor = append(next.Status.ReservedFor, devices.Consumer(pod))
		if _, err := client.UpdateStatus(ctx, c.Door, client.ResourceClaims, next); err != nil {
			return fmt.Errorf("reserve claim %s: %w", loop.Key(k), err)
		}
	}
	return nil
}
