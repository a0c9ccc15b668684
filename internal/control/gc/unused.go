package gc

import (
	"context"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// unused tells in the condition Unused of each bound claim whether a pod that has not ended refers to it, and since when not
// (PersistentVolumeClaimUnusedSinceTime, on in v1.37). It begins, with its informers, when there is a claim.
type unused struct {
	loop.Env
	begun chan struct{}

	// These are made by Run.
	pods   *cache.Informer[*corev1.Pod]
	claims *cache.Informer[*corev1.PersistentVolumeClaim]
	ledger *loop.Ledger
}

func newUnused(env loop.Env, world *World) *unused {
	u := &unused{Env: env, begun: make(chan struct{})}
	world.First([]schema.GroupVersionResource{client.PersistentVolumeClaims}, nil, sync.OnceFunc(func() { close(u.begun) }))
	return u
}

// podsByClaim indexes pods that have not ended by the claims they refer to.
const podsByClaim = "claim"

// Run implements loop.Runner.
func (u *unused) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-u.begun:
	}
	u.pods = cache.For[*corev1.Pod](u.Informers, client.Pods, cache.Options{})
	u.claims = cache.For[*corev1.PersistentVolumeClaim](u.Informers, client.PersistentVolumeClaims, cache.Options{})
	u.pods.AddIndex(podsByClaim, func(p *corev1.Pod) []string {
		if over(p) {
			return nil
		}
		return claimsOf(p)
	})
	u.ledger = loop.NewLedger()
	queue := loop.NewQueue()
	pod := func(p *corev1.Pod) {
		for _, key := range claimsOf(p) {
			queue.Add(key)
		}
	}
	u.pods.Handle(cache.Handler[*corev1.Pod]{
		Add: pod, Delete: pod,
		Update: func(old, p *corev1.Pod) {
			if old.UID != p.UID || over(old) != over(p) {
				pod(old)
				pod(p)
			}
		},
	})
	claim := func(c *corev1.PersistentVolumeClaim) {
		if c.Status.Phase == corev1.ClaimBound && c.DeletionTimestamp == nil && unusedCondition(c) == nil {
			queue.Add(loop.Key(c))
		}
	}
	u.claims.Handle(cache.Handler[*corev1.PersistentVolumeClaim]{Add: claim, Update: func(_, c *corev1.PersistentVolumeClaim) { claim(c) }})
	c := &loop.Controller{Name: u.Name + "-unused", Queue: queue, Log: u.Log, Ledger: u.ledger, Synced: []<-chan struct{}{u.pods.Synced(), u.claims.Synced()}, Reconcile: u.reconcile}
	return c.Run(ctx)
}

// claimsOf lists the keys of the claims of a pod.
func claimsOf(p *corev1.Pod) (keys []string) {
	for i := range p.Spec.Volumes {
		if name, _ := volumes.ClaimOf(p, &p.Spec.Volumes[i]); name != "" {
			keys = append(keys, loop.KeyOf(p.Namespace, name))
		}
	}
	return keys
}

// over reports whether a pod has ended, or is to go and has no container that runs.
func over(p *corev1.Pod) bool {
	return loop.PodTerminal(p) || p.DeletionTimestamp != nil && !slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Terminated == nil && s.State.Waiting == nil
	})
}

func unusedCondition(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaimCondition {
	for i := range c.Status.Conditions {
		if c.Status.Conditions[i].Type == corev1.PersistentVolumeClaimUnused {
			return &c.Status.Conditions[i]
		}
	}
	return nil
}

func (u *unused) reconcile(ctx context.Context, key string) (time.Duration, error) {
	claim, ok := u.claims.Get(loop.SplitKey(key))
	if !ok {
		u.ledger.Forget(key)
		return 0, nil
	}
	if claim.DeletionTimestamp != nil || claim.Status.Phase != corev1.ClaimBound {
		return 0, nil // until it is bound its status is the binder's
	}
	used := slices.ContainsFunc(u.pods.ByIndex(podsByClaim, key), func(p *corev1.Pod) bool { return refersTo(p, claim) })
	want := corev1.PersistentVolumeClaimCondition{
		Type: corev1.PersistentVolumeClaimUnused, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(),
		Reason: "NoPodsUsingPVC", Message: "No pods are currently referencing this PVC",
	}
	if used {
		want.Status, want.Reason, want.Message = corev1.ConditionFalse, "PodUsingPVC", "A pod is currently referencing this PVC"
	}
	have := unusedCondition(claim)
	if have != nil && have.Status == want.Status {
		return 0, nil
	}
	claim = claim.DeepCopy()
	if have == nil {
		claim.Status.Conditions = append(claim.Status.Conditions, want)
	} else {
		*unusedCondition(claim) = want
	}
	out, err := client.UpdateStatus(ctx, u.Door, client.PersistentVolumeClaims, claim)
	if err != nil {
		return 0, ignoreGone(err)
	}
	u.ledger.Wrote(key, loop.ViewOf(u.claims), out)
	return 0, nil
}

// refersTo reports whether a pod refers to a claim: by its name, or as the one that is made for it.
func refersTo(p *corev1.Pod, claim *corev1.PersistentVolumeClaim) bool {
	for i := range p.Spec.Volumes {
		if name, own := volumes.ClaimOf(p, &p.Spec.Volumes[i]); name == claim.Name && (!own || volumes.MadeFor(p, claim) == nil) {
			return true
		}
	}
	return false
}
