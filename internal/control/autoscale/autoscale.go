package autoscale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Config is upstream's --horizontal-pod-autoscaler-*. The zero value stands for Default.
type Config struct {
	SyncPeriod        time.Duration // between looks at an autoscaler
	Stabilization     time.Duration // how far back a higher recommendation is looked for before the target shrinks
	CPUInitialization time.Duration // how long pods may take to start, by their CPU
	InitialReadiness  time.Duration // until a pod's first readiness counts
	Tolerance         float64       // how far the usage may be from its target without a change
}

// Default is what upstream's flags say by default.
var Default = Config{SyncPeriod: 15 * time.Second, Stabilization: 5 * time.Minute, CPUInitialization: 5 * time.Minute, InitialReadiness: 30 * time.Second, Tolerance: 0.1}

// controller is the horizontal-pod-autoscaler-controller. mu guards the maps, by key; a history is its key's worker's.
type controller struct {
	loop.Env
	cfg    Config
	queue  *loop.Queue
	ledger *loop.Ledger
	hpas   *cache.Informer[*autoscalingv2.HorizontalPodAutoscaler]
	pods   *cache.Informer[*corev1.Pod]
	view   loop.View
	meter  meter

	mu struct {
		sync.Mutex
		history   map[string]*history
		selectors map[string]labels.Selector // of the targets, as last seen
	}
}

// New makes the horizontal-pod-autoscaler-controller. plural tells which resources a kind is served as.
func New(env loop.Env, cfg Config, plural func(schema.GroupKind) []schema.GroupVersionResource) loop.Runner {
	if cfg == (Config{}) {
		cfg = Default
	}
	c := &controller{Env: env, cfg: cfg, queue: loop.NewQueue(), ledger: loop.NewLedger(), meter: meter{env.Door, plural}}
	c.mu.history, c.mu.selectors = map[string]*history{}, map[string]labels.Selector{}
	c.hpas = cache.For[*autoscalingv2.HorizontalPodAutoscaler](env.Informers, client.HorizontalPodAutoscalers, cache.Options{})
	c.pods = cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
	c.view = loop.ViewOf(c.hpas)
	c.hpas.Handle(cache.Handler[*autoscalingv2.HorizontalPodAutoscaler]{
		Add: func(h *autoscalingv2.HorizontalPodAutoscaler) { c.queue.Add(loop.Key(h)) },
		Update: func(old, h *autoscalingv2.HorizontalPodAutoscaler) {
			if old.Generation != h.Generation { // the status is mostly its own writing
				c.queue.Add(loop.Key(h))
			}
		},
		Delete: func(h *autoscalingv2.HorizontalPodAutoscaler) { c.queue.Add(loop.Key(h)) },
	})
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: c.queue, Log: env.Log, Ledger: c.ledger,
		Synced: []<-chan struct{}{c.hpas.Synced(), c.pods.Synced()}, Reconcile: c.reconcile,
	}
}

// reconcile looks at an autoscaler, and again after a while whatever comes of it.
func (c *controller) reconcile(ctx context.Context, key string) (time.Duration, error) {
	hpa, ok := c.hpas.Get(loop.SplitKey(key))
	if !ok {
		c.ledger.Forget(key)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.mu.history, key)
		delete(c.mu.selectors, key)
		return 0, nil
	}
	l := lookAt(hpa, c.historyOf(key), c.cfg.Stabilization, time.Now())
	err := c.scale(ctx, key, l)
	for _, e := range l.events {
		c.Events.Event(l.hpa, e.kind, e.reason, e.message)
	}
	if wrote := c.put(ctx, key, l); wrote != nil {
		err = errors.Join(err, wrote)
	}
	if err != nil && ctx.Err() == nil {
		c.Log.Debug("autoscaler", "key", key, "err", err) // its events and conditions say the same
	}
	return c.cfg.SyncPeriod, nil
}

// scale measures and sets the number of replicas.
func (c *controller) scale(ctx context.Context, key string, l *look) error {
	ref, scale, err := c.target(ctx, l.hpa)
	if err != nil {
		l.unscalable(err)
		return err
	}
	l.set(autoscalingv2.AbleToScale, corev1.ConditionTrue, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
	current := scale.Spec.Replicas
	l.history.begin(current, l.now)
	s := l.first(current)
	var statuses []autoscalingv2.MetricStatus
	var warning error
	measured := s.measure
	if measured {
		var p proposal
		if p, statuses, warning, err = c.measureAll(ctx, key, l, scale); err != nil {
			l.conclude(current, l.hpa.Status.DesiredReplicas, statuses, false)
			l.tell(corev1.EventTypeWarning, "FailedComputeMetricsReplicas", "%s", err)
			return err
		}
		s = l.then(current, p)
	}
	if s.desired == current {
		l.conclude(current, current, statuses, false)
		return warning
	}
	if err := c.write(ctx, ref, scale, s.desired); err != nil {
		l.unscaled(s, err)
		l.conclude(current, l.hpa.Status.DesiredReplicas, statuses, false)
		return err
	}
	l.scaled(current, s)
	l.conclude(current, s.desired, statuses, true)
	return warning
}

// target reads the scale of what an autoscaler is about, under whatever resource has it.
func (c *controller) target(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) (client.Ref, *autoscalingv1.Scale, error) {
	to := hpa.Spec.ScaleTargetRef
	gv, err := schema.ParseGroupVersion(to.APIVersion)
	if err != nil {
		return client.Ref{}, nil, err
	}
	kind := schema.GroupKind{Group: gv.Group, Kind: to.Kind}
	found := c.meter.plural(kind)
	if len(found) == 0 {
		return client.Ref{}, nil, noMatch(kind)
	}
	var first error
	for _, res := range found {
		ref := client.Ref{Resource: res, Namespace: hpa.Namespace, Name: to.Name, Subresource: "scale"}
		obj, err := c.Door.Get(ctx, ref, metav1.GetOptions{})
		if s, ok := obj.(*autoscalingv1.Scale); err == nil && ok {
			return ref, s, nil
		} else if err == nil {
			err = fmt.Errorf("the scale of %s is %T", res.Resource, obj)
		}
		if first == nil {
			first = err
		}
	}
	return client.Ref{}, nil, first
}

// write sets the number of replicas of a target, on top of whatever is there by then.
func (c *controller) write(ctx context.Context, ref client.Ref, scale *autoscalingv1.Scale, replicas int32) (err error) {
	for range 5 {
		scale = scale.DeepCopy()
		scale.Spec.Replicas = replicas
		if _, err = c.Door.Update(ctx, ref, scale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			return err
		}
		obj, again := c.Door.Get(ctx, ref, metav1.GetOptions{})
		if again != nil {
			return err
		}
		scale = obj.(*autoscalingv1.Scale)
	}
	return err
}

// measureAll makes the proposals of all metrics and chooses among them.
func (c *controller) measureAll(ctx context.Context, key string, l *look, scale *autoscalingv1.Scale) (p proposal, statuses []autoscalingv2.MetricStatus, warning, err error) {
	t := &target{namespace: l.hpa.Namespace, replicas: scale.Spec.Replicas, has: scale.Status.Replicas, within: l.within(c.cfg.Tolerance), now: l.now}
	if t.selector, t.pods, err = c.selected(key, l, scale.Status.Selector); err != nil {
		return p, nil, nil, err
	}
	specs := l.hpa.Spec.Metrics
	proposals, failures := make([]proposal, len(specs)), make([]*failed, len(specs))
	statuses = make([]autoscalingv2.MetricStatus, len(specs))
	for i := range specs {
		proposals[i], failures[i] = c.measure(ctx, t, &specs[i])
		statuses[i] = proposals[i].status
	}
	p, warning, err = l.best(t.replicas, proposals, failures)
	return p, statuses, warning, err
}

// selected returns the pods of a target, which no other autoscaler may have.
func (c *controller) selected(key string, l *look, selector string) (labels.Selector, []*corev1.Pod, error) {
	if selector == "" {
		l.unselected("SelectorRequired", "the HPA target's scale is missing a selector", "selector is required")
		return nil, nil, errors.New("selector is required")
	}
	sel, err := labels.Parse(selector)
	if err != nil {
		message := fmt.Sprintf("couldn't convert selector into a corresponding internal selector object: %v", err)
		l.unselected("InvalidSelector", "", message)
		return nil, nil, errors.New(message)
	}
	pods := slices.DeleteFunc(c.pods.List(l.hpa.Namespace), func(p *corev1.Pod) bool { return !sel.Matches(labels.Set(p.Labels)) })
	if others := c.rivals(key, sel, pods); len(others) > 1 {
		message := fmt.Sprintf("pods by selector %v are controlled by more than one HPA (e.g. %v)", selector, rivals(others))
		l.unselected("AmbiguousSelector", "", message)
		return nil, nil, errors.New(message)
	}
	return sel, pods, nil
}

// rivals notes an autoscaler's selector and returns the autoscalers, two at most, that have some of the pods: usually itself alone.
func (c *controller) rivals(key string, sel labels.Selector, pods []*corev1.Pod) (out [][2]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.selectors[key] = sel
	namespace, _ := loop.SplitKey(key)
	for other, s := range c.mu.selectors {
		if !strings.HasPrefix(other, namespace+"/") || !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return s.Matches(labels.Set(p.Labels)) }) {
			continue
		}
		ns, name := loop.SplitKey(other)
		out = append(out, [2]string{ns, name})
	}
	slices.SortFunc(out, func(a, b [2]string) int { return strings.Compare(a[1], b[1]) })
	return out[:min(2, len(out))]
}

func (c *controller) historyOf(key string) *history {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.history[key] == nil {
		c.mu.history[key] = &history{}
	}
	return c.mu.history[key]
}

// put writes the status if it has changed.
func (c *controller) put(ctx context.Context, key string, l *look) error {
	if !l.changed() {
		return nil
	}
	out, err := client.UpdateStatus(ctx, c.Door, client.HorizontalPodAutoscalers, l.hpa)
	if err != nil {
		if ctx.Err() == nil {
			c.Events.Event(l.hpa, corev1.EventTypeWarning, "FailedUpdateStatus", err.Error())
		}
		return fmt.Errorf("failed to update status for %s: %w", l.hpa.Name, err)
	}
	c.ledger.Wrote(key, c.view, out)
	return nil
}
