package disruption

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// controller is the disruption-controller. A status is written over the budget as the view has it, so that an eviction that the view
// does not show yet makes the write fail and the budget come again: no disruption is given twice.
type controller struct {
	env     loop.Env
	scales  scales
	budgets *cache.Informer[*policyv1.PodDisruptionBudget]
	pods    *cache.Informer[*corev1.Pod]
	queue   *loop.Queue // of budgets
	stale   *loop.Queue // of pods with the condition DisruptionTarget

	mu struct {
		sync.RWMutex
		selectors map[string]map[string]labels.Selector // by namespace and name of the budget
	}
}

// New makes the disruption-controller. Account: disruption-controller.
func New(env loop.Env, served Served) loop.Runner {
	c := &controller{
		env: env, scales: scales{env.Door, served}, queue: loop.NewQueue(), stale: loop.NewQueue(),
		budgets: cache.For[*policyv1.PodDisruptionBudget](env.Informers, client.PodDisruptionBudgets, cache.Options{}),
		pods:    cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{}),
	}
	c.mu.selectors = map[string]map[string]labels.Selector{}
	c.budgets.Handle(cache.Handler[*policyv1.PodDisruptionBudget]{
		Add:    c.follow,
		Update: func(_, b *policyv1.PodDisruptionBudget) { c.follow(b) },
		Delete: c.unfollow,
	})
	c.pods.Handle(cache.Handler[*corev1.Pod]{Add: func(p *corev1.Pod) { c.podChanged(nil, p) }, Update: c.podChanged, Delete: func(p *corev1.Pod) { c.podChanged(p, nil) }})
	synced := []<-chan struct{}{c.budgets.Synced(), c.pods.Synced()}
	return loop.All{
		&loop.Controller{Name: env.Name, Workers: 1, Rest: 4, Queue: c.queue, Log: env.Log, Synced: synced, Reconcile: c.reconcile},
		&loop.Controller{Name: env.Name, Workers: 1, Queue: c.stale, Log: env.Log, Synced: synced[1:], Reconcile: c.takeBack},
	}
}

// Concerns reports whether a pod is one that the controller has to look at even where there are no budgets.
func Concerns(p *corev1.Pod) bool {
	is, _ := disrupted(p, time.Now())
	return is
}

// follow remembers whom a budget selects, and has it looked at.
func (c *controller) follow(b *policyv1.PodDisruptionBudget) {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		selector = labels.Nothing() // the look says why
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.selectors[b.Namespace] == nil {
		c.mu.selectors[b.Namespace] = map[string]labels.Selector{}
	}
	c.mu.selectors[b.Namespace][b.Name] = selector
	c.queue.Add(loop.Key(b))
}

func (c *controller) unfollow(b *policyv1.PodDisruptionBudget) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.selectors[b.Namespace], b.Name)
	if len(c.mu.selectors[b.Namespace]) == 0 {
		delete(c.mu.selectors, b.Namespace)
	}
}

// selecting names the budgets that select a pod, in order.
func (c *controller) selecting(p *corev1.Pod) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []string
	for name, selector := range c.mu.selectors[p.Namespace] {
		if selector.Matches(labels.Set(p.Labels)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// podChanged has the budgets looked at that select a pod or did so before. old or p is nil when the pod is new or gone.
func (c *controller) podChanged(old, p *corev1.Pod) {
	if p != nil {
		if is, left := disrupted(p, time.Now()); is {
			c.stale.AddAfter(loop.Key(p), left)
		}
	}
	if old != nil && p != nil && !loop.PodMatters(old, p) {
		return
	}
	for _, one := range []*corev1.Pod{old, p} {
		if one == nil {
			continue
		}
		names := c.selecting(one)
		if len(names) > 1 && one == p {
			c.env.Events.Eventf(p, corev1.EventTypeWarning, "MultiplePodDisruptionBudgets",
				"Pod %q/%q matches multiple PodDisruptionBudgets.  Chose %q arbitrarily.", p.Namespace, p.Name, names[0])
		}
		for _, name := range names {
			c.queue.Add(loop.KeyOf(one.Namespace, name))
		}
	}
}

// reconcile brings the status of a budget up to date. What cannot be found out leaves a status that allows nothing.
func (c *controller) reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name := loop.SplitKey(key)
	b, ok := c.budgets.Get(namespace, name)
	if !ok {
		return 0, nil
	}
	recheck, err := c.count(ctx, b)
	if err == nil || apierrors.IsConflict(err) {
		return recheck, err
	}
	status, changed := failed(b, err)
	if changed {
		if err := c.write(ctx, b, status); err != nil {
			return 0, err
		}
	}
	if errors.Is(err, errHopeless) {
		c.env.Log.Debug("budget cannot be counted", "key", key, "err", err)
		return 0, nil
	}
	return 0, err
}

// count looks at the pods of a budget and writes its status if that has changed. It returns when to look again.
func (c *controller) count(ctx context.Context, b *policyv1.PodDisruptionBudget) (time.Duration, error) {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		c.env.Events.Eventf(b, corev1.EventTypeWarning, "NoPods", "Failed to get pods: %v", err)
		return 0, hopeless(err)
	}
	pods := slices.DeleteFunc(c.pods.List(b.Namespace), func(p *corev1.Pod) bool { return !selector.Matches(labels.Set(p.Labels)) })
	if len(pods) == 0 {
		c.env.Events.Event(b, corev1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	expected, healthy, err := c.expect(ctx, b, pods)
	if err != nil {
		c.env.Events.Eventf(b, corev1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", err)
		return 0, err
	}
	out := plan(b, pods, expected, healthy, time.Now())
	for _, p := range out.spared { // upstream's words, which name the namespace twice
		c.env.Events.Eventf(p, corev1.EventTypeWarning, "NotDeleted", "Pod was expected by PDB %s/%s to be deleted but it wasn't", b.Namespace, b.Namespace)
	}
	if !out.changed {
		return out.recheck, nil
	}
	return out.recheck, c.write(ctx, b, out.status)
}

// expect asks, where the budget is of a part, how many pods there should be, and tells of pods that nobody says that of.
func (c *controller) expect(ctx context.Context, b *policyv1.PodDisruptionBudget, pods []*corev1.Pod) (expected, healthy int32, err error) {
	var scale int32
	if needsScale(&b.Spec) {
		var unmanaged []string
		if scale, unmanaged, err = c.scales.sum(ctx, pods); err != nil {
			return 0, 0, err
		}
		if len(unmanaged) > 0 {
			c.env.Events.Event(b, corev1.EventTypeWarning, "UnmanagedPods", fmt.Sprintf("Pods selected by this PodDisruptionBudget (selector: %v) were found "+
				"to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "+
				"To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.", b.Spec.Selector))
		}
	}
	if expected, healthy, err = wanted(&b.Spec, len(pods), scale); err != nil {
		return 0, 0, hopeless(err)
	}
	return expected, healthy, nil
}

func (c *controller) write(ctx context.Context, b *policyv1.PodDisruptionBudget, status policyv1.PodDisruptionBudgetStatus) error {
	out := b.DeepCopy()
	out.Status = status
	_, err := client.UpdateStatus(ctx, c.env.Door, client.PodDisruptionBudgets, out)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// takeBack sets the condition DisruptionTarget of a pod that was not deleted in time to False.
func (c *controller) takeBack(ctx context.Context, key string) (time.Duration, error) {
	p, ok := c.pods.Get(loop.SplitKey(key))
	if !ok {
		return 0, nil
	}
	is, left := disrupted(p, time.Now())
	if !is || left > 0 {
		return left, nil
	}
	_, err := client.UpdateStatus(ctx, c.env.Door, client.Pods, loop.WithPodCondition(p, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionFalse}))
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	return 0, err
}
