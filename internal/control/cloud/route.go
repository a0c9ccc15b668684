package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/cloud"
	"sampan.dev/internal/control/loop"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// allRoutes is the one key of the queue: the cloud lists all routes at once.
	allRoutes = "routes"
	// routesAtOnce is how many routes are made or deleted at a time, as upstream's.
	routesAtOnce = 200
)

// routeBackoff is that of a look at the routes of which one failed; upstream looks every ten seconds.
var routeBackoff = loop.Backoff{First: time.Second, Longest: 10 * time.Second}

// routes is node-route-controller: it keeps a route in the cloud from each node's ranges of pods to the node, and says of each node
// whether it has them.
type routes struct {
	loop.Env
	cfg   Config
	cloud cloud.Routes
	nodes *cache.Informer[*corev1.Node]
	queue *loop.Queue

	changed atomic.Bool // nodes have, since the last look
	metrics routeMetrics
}

// NewRoutes makes the node-route-controller; nil when the provider has no routes, or the cluster no ranges.
func NewRoutes(env loop.Env, cfg Config) loop.Runner {
	if cfg.Provider == nil || cfg.Provider.Routes == nil || len(cfg.ClusterCIDRs) == 0 {
		return nil
	}
	c := &routes{Env: env, cfg: cfg, cloud: cfg.Provider.Routes, queue: loop.NewQueueWith(routeBackoff), metrics: newRouteMetrics()}
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	due := func() { c.changed.Store(true); c.queue.Add(allRoutes) }
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add:    func(*corev1.Node) { due() },
		Delete: func(*corev1.Node) { due() },
		Update: func(old, n *corev1.Node) {
			if !slices.Equal(old.Spec.PodCIDRs, n.Spec.PodCIDRs) || !slices.Equal(old.Status.Addresses, n.Status.Addresses) {
				due()
			}
		},
	})
	cfg.Changes.add(due)
	return loop.Measured{Collector: c.metrics, Runner: &loop.Controller{
		Name: env.Name, Queue: c.queue, Log: env.Log, Rest: 2,
		Synced: []<-chan struct{}{c.nodes.Synced()}, Reconcile: c.reconcile,
	}}
}

func (c *routes) reconcile(ctx context.Context, _ string) (time.Duration, error) {
	byNodes := c.changed.Swap(false)
	changed, err := c.look(ctx)
	if ctx.Err() != nil {
		return 0, nil
	}
	c.metrics.looked(changed, byNodes, err)
	return or(c.cfg.RouteResync, 10*time.Second), err
}

// look brings the cloud's routes to what the nodes need, and reports whether any was to be made or deleted.
func (c *routes) look(ctx context.Context) (changed bool, err error) {
	have, err := c.cloud.ListRoutes(ctx, c.cfg.clusterName())
	if err != nil {
		return false, fmt.Errorf("error listing routes: %w", err)
	}
	nodes := c.nodes.List("")
	gone, come := planRoutes(nodes, have, c.cfg.ClusterCIDRs)
	group := errgroup.Group{}
	group.SetLimit(routesAtOnce)
	for _, r := range gone {
		group.Go(func() error {
			if err := c.cloud.DeleteRoute(ctx, c.cfg.clusterName(), r); err != nil {
				return fmt.Errorf("delete route %s %s: %w", r.Name, r.DestinationCIDR, err)
			}
			c.Log.Info("route deleted", "route", r.Name, "range", r.DestinationCIDR)
			return nil
		})
	}
	// What takes the place of a route comes after that is gone: a cloud may have one route for a range only.
	failed := group.Wait()
	missing, err := c.create(ctx, come)
	failed = errors.Join(failed, err)
	for _, n := range nodes {
		if len(n.Spec.PodCIDRs) > 0 {
			failed = errors.Join(failed, c.tell(ctx, n, routeCondition(!missing[n.Name])))
		}
	}
	return len(gone)+len(come) > 0, failed
}

// create makes routes and returns the nodes of those that failed.
func (c *routes) create(ctx context.Context, come []creation) (map[string]bool, error) {
	missing, mu := map[string]bool{}, sync.Mutex{}
	group := errgroup.Group{}
	group.SetLimit(routesAtOnce)
	for _, r := range come {
		group.Go(func() error {
			began := time.Now()
			hint := string(r.node.UID)
			if err := c.cloud.CreateRoute(ctx, c.cfg.clusterName(), hint, r.route); err != nil {
				mu.Lock()
				missing[r.node.Name] = true
				mu.Unlock()
				err = fmt.Errorf("Could not create route %s %s for node %s after %v: %w", hint, r.route.DestinationCIDR, r.node.Name, time.Since(began), err) //nolint:staticcheck // upstream's words
				c.Events.EventRef(nodeReference(r.node), corev1.EventTypeWarning, "FailedToCreateRoute", err.Error())
				return err
			}
			c.Log.Info("route made", "node", r.node.Name, "range", r.route.DestinationCIDR)
			return nil
		})
	}
	err := group.Wait()
	return missing, err
}

// tell writes a node's condition, if it is news.
func (c *routes) tell(ctx context.Context, n *corev1.Node, want corev1.NodeCondition) error {
	if says(n, want) {
		return nil
	}
	now := metav1.Now()
	want.LastHeartbeatTime, want.LastTransitionTime = now, now
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": n.UID}, "status": map[string]any{"conditions": []corev1.NodeCondition{want}}})
	if err != nil {
		return err
	}
	ref := client.Ref{Resource: client.Nodes, Name: n.Name, Subresource: "status"}
	if _, err := c.Door.Patch(ctx, ref, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("condition of node %s: %w", n.Name, err)
	}
	return nil
}
