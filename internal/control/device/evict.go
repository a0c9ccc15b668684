package device

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/api/devices"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// ofRule begins the queue's keys of rules.
const ofRule = "rule:"

const byPool = "driver and pool" // indexes slices

// evictor is the device-taint-eviction-controller. It works out anew at each look when a pod has to go; planned is of which pods it has
// said so, to tell of it when they need not, and evicted how many each rule has driven out since the start.
type evictor struct {
	loop.Env
	pods   *cache.Informer[*corev1.Pod]
	claims *cache.Informer[*resourcev1.ResourceClaim]
	slices *cache.Informer[*resourcev1.ResourceSlice]
	rules  *cache.Informer[*resourcev1.DeviceTaintRule]
	queue  *loop.Queue

	mu struct {
		sync.Mutex
		planned map[string]types.UID // by the key of the pod
		evicted map[types.UID]int
	}
}

// NewEvictor makes the device-taint-eviction-controller.
func NewEvictor(env loop.Env) loop.Runner {
	e := &evictor{
		Env: env, queue: loop.NewQueue(),
		pods:   cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{}),
		claims: cache.For[*resourcev1.ResourceClaim](env.Informers, client.ResourceClaims, cache.Options{}),
		slices: cache.For[*resourcev1.ResourceSlice](env.Informers, client.ResourceSlices, cache.Options{}),
		rules:  cache.For[*resourcev1.DeviceTaintRule](env.Informers, client.DeviceTaintRules, cache.Options{}),
	}
	e.mu.planned, e.mu.evicted = map[string]types.UID{}, map[types.UID]int{}
	e.slices.AddIndex(byPool, func(s *resourcev1.ResourceSlice) []string { return []string{s.Spec.Driver + "/" + s.Spec.Pool.Name} })
	e.pods.Handle(cache.Handler[*corev1.Pod]{
		Add: e.podSeen, Delete: e.podSeen,
		Update: func(old, p *corev1.Pod) {
			if old.Spec.NodeName != p.Spec.NodeName || !equality.Semantic.DeepEqual(old.Status.ResourceClaimStatuses, p.Status.ResourceClaimStatuses) {
				e.podSeen(p)
			}
		},
	})
	e.claims.Handle(cache.Handler[*resourcev1.ResourceClaim]{
		Add: e.usersOf, Delete: e.usersOf,
		Update: func(old, k *resourcev1.ResourceClaim) {
			e.usersOf(old)
			e.usersOf(k)
		},
	})
	e.slices.Handle(cache.Handler[*resourcev1.ResourceSlice]{
		Add: e.sliceSeen, Delete: e.sliceSeen,
		Update: func(old, s *resourcev1.ResourceSlice) {
			e.sliceSeen(old)
			e.sliceSeen(s)
		},
	})
	e.rules.Handle(cache.Handler[*resourcev1.DeviceTaintRule]{
		Add: e.ruleSeen, Delete: e.ruleSeen,
		Update: func(old, r *resourcev1.DeviceTaintRule) {
			if !equality.Semantic.DeepEqual(old.Spec, r.Spec) {
				e.ruleSeen(old)
				e.ruleSeen(r)
			}
		},
	})
	return &loop.Controller{
		Name: env.Name, Workers: 8, Elastic: true, Queue: e.queue, Log: env.Log,
		Synced:    []<-chan struct{}{e.pods.Synced(), e.claims.Synced(), e.slices.Synced(), e.rules.Synced()},
		Reconcile: e.reconcile,
	}
}

func (e *evictor) podSeen(p *corev1.Pod) {
	if devices.Has(p) {
		e.queue.Add(ofPod + loop.Key(p))
	}
}

func (e *evictor) usersOf(k *resourcev1.ResourceClaim) {
	for _, r := range k.Status.ReservedFor {
		if devices.IsPod(r) {
			e.queue.Add(ofPod + loop.KeyOf(k.Namespace, r.Name))
		}
	}
}

// sliceSeen has the pods looked at that use devices of a slice that has tainted ones.
func (e *evictor) sliceSeen(s *resourcev1.ResourceSlice) {
	tainted := map[string]bool{}
	for i := range s.Spec.Devices {
		if d := &s.Spec.Devices[i]; slices.ContainsFunc(d.Taints, func(t resourcev1.DeviceTaint) bool { return t.Effect == resourcev1.DeviceTaintEffectNoExecute }) {
			tainted[d.Name] = true
		}
	}
	if len(tainted) > 0 {
		e.usersWhere(func(d *resourcev1.DeviceRequestAllocationResult) bool {
			return d.Driver == s.Spec.Driver && d.Pool == s.Spec.Pool.Name && tainted[d.Device]
		})
	}
}

func (e *evictor) ruleSeen(r *resourcev1.DeviceTaintRule) {
	e.queue.Add(ofRule + r.Name)
	if r.Spec.Taint.Effect == resourcev1.DeviceTaintEffectNoExecute {
		e.usersWhere(func(d *resourcev1.DeviceRequestAllocationResult) bool {
			return devices.Picks(r, d.Driver, d.Pool, d.Device)
		})
	}
}

func (e *evictor) usersWhere(uses func(*resourcev1.DeviceRequestAllocationResult) bool) {
	for _, k := range e.claims.List("") {
		if a := k.Status.Allocation; a != nil {
			for i := range a.Devices.Results {
				if uses(&a.Devices.Results[i]) {
					e.usersOf(k)
					break
				}
			}
		}
	}
}

// evicting are the rules that drive pods out.
func (e *evictor) evicting() []*resourcev1.DeviceTaintRule {
	return slices.DeleteFunc(e.rules.List(""), func(r *resourcev1.DeviceTaintRule) bool {
		return r.Spec.Taint.Effect != resourcev1.DeviceTaintEffectNoExecute
	})
}

// evictionOf says when a pod has to go, under some rules.
func (e *evictor) evictionOf(pod *corev1.Pod, rules []*resourcev1.DeviceTaintRule) (out eviction) {
	if pod.Spec.NodeName == "" {
		return out
	}
	for i := range pod.Spec.ResourceClaims {
		name, own, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil || name == nil {
			continue
		}
		k, ok := e.claims.Get(pod.Namespace, *name)
		if !ok || k.Status.Allocation == nil || own && resourceclaim.IsForPod(pod, k, false) != nil || !resourceclaim.IsReservedForPod(pod, k, false) {
			continue
		}
		for j := range k.Status.Allocation.Devices.Results {
			d := &k.Status.Allocation.Devices.Results[j]
			out = out.also(evictionBy(d, published(e.slices.ByIndex(byPool, d.Driver+"/"+d.Pool), d.Device), rules))
		}
	}
	return out
}

func (e *evictor) reconcile(ctx context.Context, key string) (time.Duration, error) {
	if name, ok := strings.CutPrefix(key, ofRule); ok {
		return e.report(ctx, name)
	}
	key = strings.TrimPrefix(key, ofPod)
	pod, ok := e.pods.Get(loop.SplitKey(key))
	if !ok || pod.DeletionTimestamp != nil {
		e.plan(key, "")
		return 0, nil
	}
	due := e.evictionOf(pod, e.evicting())
	if !due.due {
		if was := e.plan(key, ""); was == pod.UID {
			e.tell(pod, "Cancelling deletion")
		}
		return 0, nil
	}
	e.plan(key, pod.UID)
	e.rulesLater(due)
	if left := time.Until(due.at); left > 0 {
		return left, nil
	}
	return 0, e.evict(ctx, pod, due)
}

// plan notes whether a pod is to be evicted, and returns what was noted before.
func (e *evictor) plan(key string, uid types.UID) (was types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was = e.mu.planned[key]
	if uid == "" {
		delete(e.mu.planned, key)
	} else {
		e.mu.planned[key] = uid
	}
	return was
}

// rulesLater has the rules that drive a pod out tell of it, but not too often.
func (e *evictor) rulesLater(due eviction) {
	for _, r := range e.rules.List("") {
		if due.rules[r.UID] {
			e.queue.AddAfter(ofRule+r.Name, statusEvery)
		}
	}
}

func (e *evictor) tell(pod *corev1.Pod, message string) {
	e.Events.Event(pod, corev1.EventTypeNormal, "DeviceTaintManagerEviction", message)
}

func (e *evictor) evict(ctx context.Context, pod *corev1.Pod, due eviction) error {
	key := loop.Key(pod)
	e.Log.Info("deleting pod because of a device's taint", "pod", key)
	e.tell(pod, "Marking for deletion")
	marked := loop.WithPodCondition(pod, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: "DeletionByDeviceTaintManager", Message: "Device Taint manager: deleting due to NoExecute taint",
	})
	if have := loop.PodCondition(pod, corev1.DisruptionTarget); have == nil || have.Status != corev1.ConditionTrue || have.Reason != "DeletionByDeviceTaintManager" {
		if _, err := client.UpdateStatus(ctx, e.Door, client.Pods, marked); err != nil {
			if err = ignoreGone(err); err == nil {
				return nil // whoever removed the pod is noticed by its deletion
			}
			return fmt.Errorf("evict pod %s: %w", key, err)
		}
	}
	if err := client.Delete(ctx, e.Door, client.Pods, pod.Namespace, pod.Name, pod.UID); ignoreGone(err) != nil {
		return fmt.Errorf("evict pod %s: %w", key, err)
	}
	e.mu.Lock()
	for uid := range due.rules {
		e.mu.evicted[uid]++
	}
	e.mu.Unlock()
	e.plan(key, "")
	e.rulesLater(due)
	return nil
}
