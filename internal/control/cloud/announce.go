package cloud

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// announcer is load-balancer-announcer: it decides which node announces each address that a provider has given out of ranges
// ([sampan.dev/internal/cloud.Provider] Announced), and writes that into an annotation of the node, which the node reads. What is decided is
// in the annotations; loose alone is its own, and belongs to the goroutine that reconciles.
type announcer struct {
	loop.Env
	cfg      Config
	services *cache.Informer[*corev1.Service]
	nodes    *cache.Informer[*corev1.Node]
	slices   *cache.Informer[*discoveryv1.EndpointSlice]
	queue    *loop.Queue
	view     loop.View // of nodes
	ledger   *loop.Ledger

	loose map[string]bool // Services that had no endpoints when their node was picked
}

// everything is the one key: who announces an address depends on all nodes.
const everything = "addresses"

// byService finds the slices of a Service.
const byService = "announcer/service"

// NewAnnouncer makes the load-balancer-announcer. With a provider of which nothing is to be announced it takes back what an earlier one
// had announced.
func NewAnnouncer(env loop.Env, cfg Config) loop.Runner {
	c := &announcer{Env: env, cfg: cfg, queue: loop.NewQueue(), ledger: loop.NewLedger(), loose: map[string]bool{}}
	c.services = cache.For[*corev1.Service](env.Informers, client.Services, cache.Options{})
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	c.slices = cache.For[*discoveryv1.EndpointSlice](env.Informers, client.EndpointSlices, cache.Options{})
	c.view = loop.ViewOf(c.nodes)
	c.slices.AddIndex(byService, func(s *discoveryv1.EndpointSlice) []string {
		return []string{s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]}
	})
	look := func() { c.queue.Add(everything) }
	service := func(svc *corev1.Service) {
		if len(svc.Status.LoadBalancer.Ingress) > 0 {
			look()
		}
	}
	c.services.Handle(cache.Handler[*corev1.Service]{Add: service, Delete: service, Update: func(old, svc *corev1.Service) { service(old); service(svc) }})
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add: func(*corev1.Node) { look() }, Delete: func(*corev1.Node) { look() },
		Update: func(old, n *corev1.Node) {
			if announcerKey(old) != announcerKey(n) {
				look()
			}
		},
	})
	slice := func(s *discoveryv1.EndpointSlice) {
		if svc, ok := c.services.Get(s.Namespace, s.Labels[discoveryv1.LabelServiceName]); ok {
			service(svc)
		}
	}
	c.slices.Handle(cache.Handler[*discoveryv1.EndpointSlice]{Add: slice, Delete: slice, Update: func(_, s *discoveryv1.EndpointSlice) { slice(s) }})
	return &loop.Controller{Name: env.Name, Queue: c.queue, Rest: 4, Log: env.Log, Ledger: c.ledger,
		Synced: []<-chan struct{}{c.services.Synced(), c.nodes.Synced(), c.slices.Synced()}, Reconcile: c.reconcile}
}

func (c *announcer) mine(a netip.Addr) bool {
	p := c.cfg.Provider
	return p != nil && p.Announced != nil && p.Announced(a)
}

// announcerKey is what of a node decides whether and what it announces.
func announcerKey(n *corev1.Node) string {
	return fmt.Sprint(announcers([]*corev1.Node{n}), n.Annotations[api.AnnotationAnnounced])
}

func (c *announcer) reconcile(ctx context.Context, _ string) (time.Duration, error) {
	var list []*announcement
	loose := map[string]bool{}
	for _, svc := range c.services.List("") {
		a := announcementOf(svc, c.slices.ByIndex(byService, loop.Key(svc)), c.mine)
		if a != nil {
			list = append(list, a)
			loose[a.key] = a.idle()
		}
	}
	nodes := c.nodes.List("")
	was := announcedBy(nodes)
	plan := planAnnouncing(list, announcers(nodes), was, c.loose)
	for _, w := range plan.annotations(nodes) {
		if err := c.annotate(ctx, w); err != nil {
			return 0, err
		}
	}
	c.loose = loose
	for _, key := range plan.moved(list, was) {
		if svc, ok := c.services.Get(loop.SplitKey(key)); ok {
			// In the words of MetalLB, which people look for.
			c.Events.Eventf(svc, corev1.EventTypeNormal, "nodeAssigned", "announcing from node %q with protocol \"layer2\"", plan.by[key])
		}
	}
	return 0, nil
}

// annotate writes one node's annotation. A node that is gone announces nothing.
func (c *announcer) annotate(ctx context.Context, w annotate) error {
	var value any // nil removes it
	if w.value != "" {
		value = w.value
	}
	out, err := client.MergePatch(ctx, c.Door, client.Ref{Resource: client.Nodes, Name: w.node.Name},
		map[string]any{"metadata": map[string]any{"uid": w.node.UID, "annotations": map[string]any{api.AnnotationAnnounced: value}}})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil // the next look sees that
	case err != nil:
		return fmt.Errorf("announced addresses of node %s: %w", w.node.Name, err)
	}
	if obj, ok := out.(api.Object); ok {
		c.ledger.Wrote(everything, c.view, obj)
	}
	return nil
}
