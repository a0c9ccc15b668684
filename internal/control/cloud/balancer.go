package cloud

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/cloud"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Backoff of a service whose balancer fails, and how many services the provider is asked about at a time. A provider may take
// minutes for an answer, so the number is large; each costs a goroutine only while it is asked about.
var (
	balancerBackoff = loop.Backoff{First: 5 * time.Second, Longest: 300 * time.Second}
	balancersAtOnce = 64
)

// balancers is service-lb-controller. Its map says what the provider was last asked for; everything else is in the objects.
type balancers struct {
	loop.Env
	cfg      Config
	cloud    cloud.LoadBalancer
	services *cache.Informer[*corev1.Service]
	nodes    *cache.Informer[*corev1.Node]
	view     loop.View // of services
	queue    *loop.Queue
	metrics  *balancerMetrics
	ledger   *loop.Ledger // of what was written of services, so that a view without it is not acted upon

	mu struct {
		sync.Mutex
		done map[string]done // by service key; an entry is there as long as a balancer may be
	}
}

// NewBalancers makes the service-lb-controller; nil when the provider has no balancers.
func NewBalancers(env loop.Env, cfg Config) loop.Runner {
	if cfg.Provider == nil || cfg.Provider.Balancers == nil {
		return nil
	}
	c := &balancers{Env: env, cfg: cfg, cloud: cfg.Provider.Balancers, queue: loop.NewQueueWith(balancerBackoff), ledger: loop.NewLedger(),
		metrics: newBalancerMetrics()}
	c.mu.done = map[string]done{}
	c.services = cache.For[*corev1.Service](env.Informers, client.Services, cache.Options{})
	c.view = loop.ViewOf(c.services)
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	if cfg.Provider.Begin != nil {
		cfg.Provider.Begin(cloud.View{
			Services: func() []*corev1.Service { return c.services.List("") },
			Nodes:    func() []*corev1.Node { return c.nodes.List("") },
			Event: func(svc *corev1.Service, eventType, reason, message string) {
				env.Events.Event(svc, eventType, reason, message)
			},
		})
	}
	c.services.Handle(cache.Handler[*corev1.Service]{
		Add: c.came,
		Update: func(old, svc *corev1.Service) {
			if wantsBalancer(old) != wantsBalancer(svc) || wantsBalancer(svc) && asksForMore(old, svc) || needsCleanup(svc) && !needsCleanup(old) {
				c.queue.Add(loop.Key(svc))
			}
		},
		Delete: c.went,
	})
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add:    func(*corev1.Node) { c.nodesChanged() },
		Delete: func(*corev1.Node) { c.nodesChanged() },
		Update: func(old, n *corev1.Node) {
			if c.nodeKey(old) != c.nodeKey(n) {
				c.nodesChanged()
			}
		},
	})
	cfg.Changes.add(c.again)
	return loop.Measured{Collector: c.metrics, Runner: &loop.Controller{
		Name: env.Name, Workers: balancersAtOnce, Elastic: true, Queue: c.queue, Log: env.Log, Ledger: c.ledger,
		Synced: []<-chan struct{}{c.services.Synced(), c.nodes.Synced()}, Reconcile: c.reconcile,
	}}
}

func (c *balancers) came(svc *corev1.Service) {
	if Concerns(svc) {
		c.queue.Add(loop.Key(svc))
	}
}

func (c *balancers) went(svc *corev1.Service) {
	if wantsBalancer(svc) {
		c.queue.Add(loop.Key(svc))
		c.freed()
	}
}

// freed has the services looked at again that failed: one may have waited for what another had.
func (c *balancers) freed() {
	for _, other := range c.services.List("") {
		if key := loop.Key(other); wantsBalancer(other) && c.queue.Failures(key) > 0 {
			c.queue.Add(key)
		}
	}
}

func (c *balancers) nodeKey(n *corev1.Node) string {
	return nodesKey(eligible([]*corev1.Node{n}), c.cfg.Provider.Matters)
}

func (c *balancers) nodesChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var keys []string
	for key, was := range c.mu.done {
		if was.service != nil { // one that failed looks at the nodes when its time comes
			keys = append(keys, key)
		}
	}
	c.metrics.nodesChanged(keys)
	for _, key := range keys {
		c.queue.Add(key)
	}
}

// again has every balancer ensured anew: the cloud is no longer what it was.
func (c *balancers) again() {
	c.mu.Lock()
	for key := range c.mu.done {
		c.mu.done[key] = done{}
	}
	c.mu.Unlock()
	for _, svc := range c.services.List("") {
		c.came(svc)
	}
}

func (c *balancers) was(key string) done {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.done[key]
}

func (c *balancers) set(key string, d done) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.done[key] = d
}

func (c *balancers) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.done, key)
}

func (c *balancers) reconcile(ctx context.Context, key string) (time.Duration, error) {
	defer c.metrics.looked(key)
	was := c.was(key)
	svc, ok := c.services.Get(loop.SplitKey(key))
	if was.service != nil && (!ok || svc.UID != was.service.UID) {
		// It went without a finalizer: somebody took that off.
		if err := c.abandoned(ctx, was.service); err != nil {
			return 0, err
		}
		c.forget(key)
		was = done{}
	}
	if !ok {
		c.ledger.Forget(key)
		return 0, nil
	}
	nodes := eligible(c.nodes.List(""))
	var err error
	switch next(svc, was, nodesKey(nodes, c.cfg.Provider.Matters), c.cfg.Provider.Matters != nil) {
	case leave:
		return 0, nil
	case remove:
		if err = c.remove(ctx, svc); err == nil {
			c.forget(key)
			c.freed()
		}
	case ensure:
		err = c.ensure(ctx, key, svc, nodes)
	case point:
		err = c.point(ctx, key, svc, nodes)
	}
	if after := cloud.RetryAfter(err); after > 0 {
		c.Log.Warn("balancer is not ready", "service", key, "retry_after", after, "err", err)
		return after, nil
	}
	return 0, err
}

// abandoned deletes the balancer of a service that is gone.
func (c *balancers) abandoned(ctx context.Context, svc *corev1.Service) error {
	c.Events.Event(svc, corev1.EventTypeNormal, "DeletingLoadBalancer", "Deleting load balancer")
	if err := c.cloud.EnsureLoadBalancerDeleted(ctx, c.cfg.clusterName(), svc); err != nil {
		c.Events.Eventf(svc, corev1.EventTypeWarning, "DeleteLoadBalancerFailed", "Error deleting load balancer: %v", err)
		return err
	}
	c.Events.Event(svc, corev1.EventTypeNormal, "DeletedLoadBalancer", "Deleted load balancer")
	return nil
}

func (c *balancers) remove(ctx context.Context, svc *corev1.Service) error {
	err := c.removeUntold(ctx, svc)
	if err != nil {
		c.failed(ctx, svc, err)
	}
	return err
}

// failed tells of a failure, unless it is that we are told to end.
func (c *balancers) failed(ctx context.Context, svc *corev1.Service, err error) {
	if ctx.Err() == nil {
		c.Events.Eventf(svc, corev1.EventTypeWarning, "SyncLoadBalancerFailed", "Error syncing load balancer: %v", err)
	}
}

func (c *balancers) removeUntold(ctx context.Context, svc *corev1.Service) error {
	_, exists, err := c.cloud.GetLoadBalancer(ctx, c.cfg.clusterName(), svc)
	if err != nil {
		return fmt.Errorf("failed to check if load balancer exists before cleanup: %w", err)
	}
	if exists {
		c.Events.Event(svc, corev1.EventTypeNormal, "DeletingLoadBalancer", "Deleting load balancer")
		if err := c.cloud.EnsureLoadBalancerDeleted(ctx, c.cfg.clusterName(), svc); err != nil && !errors.Is(err, cloud.ErrImplementedElsewhere) {
			return fmt.Errorf("failed to delete load balancer: %w", err)
		}
	}
	if err := c.writeStatus(ctx, svc, nil); err != nil {
		return err
	}
	if err := c.write(dropFinalizer(ctx, c.Door, svc)); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("failed to remove load balancer cleanup finalizer: %w", err)
	}
	c.Events.Event(svc, corev1.EventTypeNormal, "DeletedLoadBalancer", "Deleted load balancer")
	return nil
}

// write notes what a patch made of a service; nil is that nothing had to be patched.
func (c *balancers) write(out api.Object, err error) error {
	if err == nil && out != nil {
		c.ledger.Wrote(loop.Key(out), c.view, out)
	}
	return err
}

// writeStatus leaves a service alone that is gone.
func (c *balancers) writeStatus(ctx context.Context, svc *corev1.Service, ingress []corev1.LoadBalancerIngress) error {
	if err := c.write(setIngress(ctx, c.Door, svc, ingress)); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("failed to update load balancer status: %w", err)
	}
	return nil
}

func (c *balancers) ensure(ctx context.Context, key string, svc *corev1.Service, nodes []*corev1.Node) error {
	c.set(key, done{}) // until it is known to be there
	c.Events.Event(svc, corev1.EventTypeNormal, "EnsuringLoadBalancer", "Ensuring load balancer")
	err := c.ensureUntold(ctx, svc, nodes)
	switch {
	case err == nil:
		c.Events.Event(svc, corev1.EventTypeNormal, "EnsuredLoadBalancer", "Ensured load balancer")
	case errors.Is(err, cloud.ErrImplementedElsewhere):
	default:
		c.failed(ctx, svc, err)
		return err
	}
	c.set(key, done{service: svc, nodes: nodesKey(nodes, c.cfg.Provider.Matters)})
	return nil
}

func (c *balancers) ensureUntold(ctx context.Context, svc *corev1.Service, nodes []*corev1.Node) error {
	if err := c.write(addFinalizer(ctx, c.Door, svc)); err != nil {
		return fmt.Errorf("failed to add load balancer cleanup finalizer: %w", err)
	}
	c.noteNoNodes(svc, nodes)
	status, err := c.cloud.EnsureLoadBalancer(ctx, c.cfg.clusterName(), svc, nodes)
	switch {
	case err != nil:
		return fmt.Errorf("failed to ensure load balancer: %w", err)
	case status == nil:
		return errors.New("service status returned by EnsureLoadBalancer is nil")
	}
	return c.writeStatus(ctx, svc, status.Ingress)
}

func (c *balancers) noteNoNodes(svc *corev1.Service, nodes []*corev1.Node) {
	if len(nodes) == 0 {
		c.Events.Event(svc, corev1.EventTypeWarning, "UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer")
	}
}

// point leads a balancer to other nodes. When that fails it is ensured the next time.
func (c *balancers) point(ctx context.Context, key string, svc *corev1.Service, nodes []*corev1.Node) error {
	began := time.Now()
	err := c.cloud.UpdateLoadBalancer(ctx, c.cfg.clusterName(), svc, nodes)
	c.metrics.point(began, err)
	switch {
	case errors.Is(err, cloud.ErrImplementedElsewhere):
	case err != nil:
		if _, exists, found := c.cloud.GetLoadBalancer(ctx, c.cfg.clusterName(), svc); found == nil && !exists {
			break // what is not there leads nowhere
		}
		if ctx.Err() == nil {
			c.Events.Eventf(svc, corev1.EventTypeWarning, "UpdateLoadBalancerFailed",
				"Error updating load balancer with new hosts %v [node names limited, total number of nodes: %d], error: %v", noted(nodes), len(nodes), err)
		}
		c.set(key, done{})
		return err
	case len(nodes) == 0:
		c.noteNoNodes(svc, nodes)
	default:
		c.Events.Event(svc, corev1.EventTypeNormal, "UpdatedLoadBalancer", "Updated load balancer with new hosts")
	}
	c.set(key, done{service: svc, nodes: nodesKey(nodes, c.cfg.Provider.Matters)})
	return nil
}

// same reports whether two statuses say the same.
func same(a, b []corev1.LoadBalancerIngress) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}
