package nodes

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	terminatedThreshold = 12500
	terminatedPause     = 20 * time.Second // between counts of ended pods
	quarantine          = 40 * time.Second // from a node's absence to the end of its pods: it may come back
)

// Keys of podGC's queue: a pod's own, and these.
const (
	countKey   = "count ended pods"
	nodePrefix = "node "
)

// podGC removes pods that nobody will remove otherwise.
type podGC struct {
	loop.Env
	threshold int
	pods      *cache.Informer[*corev1.Pod]
	nodes     *cache.Informer[*corev1.Node]
	absent    absences
}

// NewPodGC makes the pod-garbage-collector-controller. threshold is the number of ended pods that are kept; 0 means 12500,
// less than 0 all.
func NewPodGC(env loop.Env, threshold int) loop.Runner {
	if threshold == 0 {
		threshold = terminatedThreshold
	}
	c := &podGC{Env: env, threshold: threshold}
	queue := loop.NewQueue()
	c.pods = cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	c.pods.AddIndex(nodeIndex, byNode)
	changed := func(p *corev1.Pod) {
		if p.DeletionTimestamp != nil {
			queue.Add(loop.Key(p))
		}
		if p.Spec.NodeName != "" {
			if _, ok := c.nodes.Get("", p.Spec.NodeName); !ok {
				queue.AddAfter(nodePrefix+p.Spec.NodeName, c.absent.left(p.Spec.NodeName))
			}
		}
		if loop.PodTerminal(p) {
			queue.AddAfter(countKey, terminatedPause)
		}
	}
	gone := func(p *corev1.Pod) {
		if p.Spec.NodeName == "" {
			return
		}
		if _, ok := c.nodes.Get("", p.Spec.NodeName); !ok && len(c.pods.ByIndex(nodeIndex, p.Spec.NodeName)) == 0 {
			c.absent.forget(p.Spec.NodeName)
		}
	}
	c.pods.Handle(cache.Handler[*corev1.Pod]{Add: changed, Update: func(_, p *corev1.Pod) { changed(p) }, Delete: gone})
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add: func(n *corev1.Node) {
			c.absent.forget(n.Name)
			c.outOfService(queue, n)
		},
		Update: func(_, n *corev1.Node) { c.outOfService(queue, n) },
		Delete: func(n *corev1.Node) {
			c.absent.gone(n.Name)
			queue.AddAfter(nodePrefix+n.Name, quarantine)
		},
	})
	return &loop.Controller{
		Name: env.Name, Workers: 4, Queue: queue, Log: env.Log,
		Synced:    []<-chan struct{}{c.pods.Synced(), c.nodes.Synced()},
		Reconcile: c.reconcile,
	}
}

// outOfService makes the dying pods of a node due that an administrator has declared dead.
func (c *podGC) outOfService(queue *loop.Queue, n *corev1.Node) {
	if !abandoned(n) {
		return
	}
	for _, p := range c.pods.ByIndex(nodeIndex, n.Name) {
		if p.DeletionTimestamp != nil {
			queue.Add(loop.Key(p))
		}
	}
}

func abandoned(n *corev1.Node) bool {
	return readiness(n) != corev1.ConditionTrue &&
		slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
}

func (c *podGC) reconcile(ctx context.Context, key string) (time.Duration, error) {
	if key == countKey {
		return 0, c.removeEnded(ctx)
	}
	if node, ok := strings.CutPrefix(key, nodePrefix); ok {
		return c.removeOrphans(ctx, node)
	}
	pod, ok := c.pods.Get(loop.SplitKey(key))
	if !ok || pod.DeletionTimestamp == nil {
		return 0, nil
	}
	if pod.Spec.NodeName == "" {
		return 0, c.remove(ctx, pod)
	}
	if node, ok := c.nodes.Get("", pod.Spec.NodeName); ok && abandoned(node) {
		return 0, c.remove(ctx, pod)
	}
	return 0, nil
}

// removeOrphans removes the pods of a node that is still not there after the quarantine.
func (c *podGC) removeOrphans(ctx context.Context, node string) (time.Duration, error) {
	if _, ok := c.nodes.Get("", node); ok {
		return 0, nil
	}
	left, ok := c.absent.leftOf(node, func() bool { return len(c.pods.ByIndex(nodeIndex, node)) > 0 })
	if !ok {
		return 0, nil // its pods are gone
	}
	if left > 0 {
		return left, nil // it was there in the meantime
	}
	if _, err := client.Get[*corev1.Node](ctx, c.Door, client.Nodes, "", node); !apierrors.IsNotFound(err) {
		return 0, err // the view is behind if there is no error; its event clears it up
	}
	var errs []error
	for _, pod := range c.pods.ByIndex(nodeIndex, node) {
		c.Log.Info("removing pod of a node that is gone", "pod", loop.Key(pod), "node", node)
		errs = append(errs, c.remove(ctx, pod, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: "DeletionByPodGC", Message: "PodGC: node no longer exists",
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	c.absent.forget(node) // a pod that comes to it from now on has a quarantine of its own
	return 0, nil
}

// removeEnded removes the oldest of the ended pods, evicted ones first, when there are too many.
func (c *podGC) removeEnded(ctx context.Context) error {
	if c.threshold < 0 {
		return nil
	}
	var ended []*corev1.Pod
	for _, pod := range c.pods.List("") {
		if loop.PodTerminal(pod) {
			ended = append(ended, pod)
		}
	}
	excess := len(ended) - c.threshold
	if excess <= 0 {
		return nil
	}
	c.Log.Info("removing ended pods", "count", excess)
	var errs []error
	for _, pod := range oldest(ended, excess) {
		errs = append(errs, c.remove(ctx, pod))
	}
	return errors.Join(errs...)
}

func oldest(pods []*corev1.Pod, n int) []*corev1.Pod {
	rank := func(p *corev1.Pod) int {
		if p.Status.Phase == corev1.PodFailed && p.Status.Reason == "Evicted" {
			return 0
		}
		return 1
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return pods[:n]
}

// remove ends a pod that no kubelet will end: it has failed, if it had not ended, and goes at once.
func (c *podGC) remove(ctx context.Context, pod *corev1.Pod, conditions ...corev1.PodCondition) error {
	if !loop.PodTerminal(pod) {
		if err := patchPodStatus(ctx, c.Door, pod, corev1.PodFailed, conditions...); err != nil {
			return err
		}
	}
	now := int64(0)
	return deletePod(ctx, c.Door, pod, &now)
}
