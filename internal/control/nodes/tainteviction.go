package nodes

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
)

// taintEviction deletes the pods that do not tolerate the NoExecute taints of their node. One that is being deleted already is no
// exception, as upstream: it may stay for as long as its node does not answer, and its events tell what was meant for it.
type taintEviction struct {
	loop.Env
	pods  *cache.Informer[*corev1.Pod]
	nodes *cache.Informer[*corev1.Node]

	mu struct {
		sync.Mutex
		plans map[string]evictionPlan
	}
}

// evictionPlan is a pod's eviction to come: since when its toleration runs, and when it has run out.
type evictionPlan struct {
	uid       types.UID
	since, at time.Time
}

// NewTaintEviction makes the taint-eviction-controller.
func NewTaintEviction(env loop.Env) loop.Runner {
	c := &taintEviction{Env: env}
	c.mu.plans = map[string]evictionPlan{}
	queue := loop.NewQueue()
	c.pods = cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	c.pods.AddIndex(nodeIndex, byNode)
	c.pods.Handle(cache.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod) { queue.Add(loop.Key(p)) },
		Update: func(old, p *corev1.Pod) {
			if old.Spec.NodeName != p.Spec.NodeName || !apiequality.Semantic.DeepEqual(old.Spec.Tolerations, p.Spec.Tolerations) {
				queue.Add(loop.Key(p))
			}
		},
		Delete: func(p *corev1.Pod) { queue.Add(loop.Key(p)) },
	})
	onNode := func(n *corev1.Node) {
		for _, p := range c.pods.ByIndex(nodeIndex, n.Name) {
			queue.Add(loop.Key(p))
		}
	}
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add: onNode,
		Update: func(old, n *corev1.Node) {
			if !slices.EqualFunc(noExecute(old), noExecute(n), func(a, b corev1.Taint) bool { return a.Key == b.Key && a.Value == b.Value }) {
				onNode(n)
			}
		},
	})
	return &loop.Controller{
		Name: env.Name, Workers: 8, Queue: queue, Log: env.Log,
		Synced:    []<-chan struct{}{c.pods.Synced(), c.nodes.Synced()},
		Reconcile: c.reconcile,
	}
}

func noExecute(n *corev1.Node) []corev1.Taint {
	var out []corev1.Taint
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute {
			out = append(out, t)
		}
	}
	return out
}

func (c *taintEviction) reconcile(ctx context.Context, key string) (time.Duration, error) {
	pod, ok := c.pods.Get(loop.SplitKey(key))
	c.mu.Lock()
	plan, planned := c.mu.plans[key]
	c.mu.Unlock()
	if planned && (!ok || plan.uid != pod.UID) {
		c.cancel(key, plan)
		planned = false
	}
	if !ok || pod.Spec.NodeName == "" {
		c.drop(key)
		return 0, nil
	}
	now := time.Now()
	node, seen := c.nodes.Get("", pod.Spec.NodeName)
	switch {
	case !seen && !planned:
		return 0, nil
	case !seen: // its taints cannot have got better
	default:
		since := now
		if planned {
			since = plan.since
		}
		at, evict := evictionTime(pod.Spec.Tolerations, noExecute(node), since, now)
		if !evict {
			if planned {
				c.cancel(key, plan)
			}
			return 0, nil
		}
		plan = evictionPlan{uid: pod.UID, since: since, at: at}
		c.mu.Lock()
		c.mu.plans[key] = plan
		c.mu.Unlock()
	}
	if left := plan.at.Sub(now); left > 0 {
		return left, nil
	}
	if err := c.evict(ctx, pod); err != nil {
		return 0, err
	}
	c.drop(key)
	return 0, nil
}

// evictionTime decides whether a pod with these tolerations has to leave a node with these NoExecute taints, and when, if
// its tolerations have been running out since then.
func evictionTime(tolerations []corev1.Toleration, taints []corev1.Taint, since, now time.Time) (at time.Time, evict bool) {
	if len(taints) == 0 {
		return time.Time{}, false
	}
	least := int64(-1)
	for i := range taints {
		j := slices.IndexFunc(tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(logr.Discard(), &taints[i], false) })
		if j < 0 {
			return now, true
		}
	}
	for i := range tolerations {
		t := &tolerations[i]
		used := slices.ContainsFunc(taints, func(taint corev1.Taint) bool { return t.ToleratesTaint(logr.Discard(), &taint, false) })
		if used && t.TolerationSeconds != nil && (least < 0 || *t.TolerationSeconds < least) {
			least = max(0, *t.TolerationSeconds)
		}
	}
	if least < 0 {
		return time.Time{}, false // for ever
	}
	return since.Add(time.Duration(least) * time.Second), true
}

func (c *taintEviction) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.plans, key)
}

func (c *taintEviction) cancel(key string, plan evictionPlan) {
	c.drop(key)
	c.event(key, plan.uid, "Cancelling deletion of Pod "+key)
}

func (c *taintEviction) event(key string, uid types.UID, message string) {
	namespace, name := loop.SplitKey(key)
	ref := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name, UID: uid}
	c.Events.EventRef(ref, corev1.EventTypeNormal, "TaintManagerEviction", message)
}

func (c *taintEviction) evict(ctx context.Context, pod *corev1.Pod) error {
	key := loop.Key(pod)
	c.Log.Info("deleting pod because of a taint", "pod", key, "node", pod.Spec.NodeName)
	c.event(key, pod.UID, "Marking for deletion Pod "+key)
	err := setPodCondition(ctx, c.Door, pod, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: "DeletionByTaintManager", Message: "Taint manager: deleting due to NoExecute taint",
	})
	if err == nil {
		err = deletePod(ctx, c.Door, pod, nil)
	}
	if err != nil {
		return fmt.Errorf("evict pod %s: %w", key, err)
	}
	return nil
}
