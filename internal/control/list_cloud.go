package control

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/cloud"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
)

// clouds is every loop of a cloud controller manager, by upstream's names (k8s.io/cloud-provider/names), and the one that has nodes
// announce balancers' addresses, which is ours.
func (m *Manager) clouds() []descriptor {
	cfg := &m.cfg
	return []descriptor{
		{name: "cloud-node-controller", alias: "cloud-node", account: "node-controller", component: "cloud-node-controller",
			reads: "nodes", writes: "nodes nodes/status",
			make: func(env loop.Env) loop.Runner {
				return cloud.NewNodes(env, cfg.Cloud)
			}},
		{name: "cloud-node-lifecycle-controller", alias: "cloud-node-lifecycle", account: "node-controller", component: "cloud-node-lifecycle-controller",
			reads: "nodes", writes: "nodes",
			make: func(env loop.Env) loop.Runner {
				return cloud.NewLifecycle(env, cfg.Cloud)
			}},
		{name: "node-route-controller", alias: "route", account: "route-controller", component: "route_controller",
			reads: "nodes", writes: "nodes/status",
			make: func(env loop.Env) loop.Runner {
				return cloud.NewRoutes(env, cfg.Cloud)
			}},
		{name: "service-lb-controller", alias: "service", account: "service-controller",
			reads: "nodes services", writes: "services/status",
			when: firstBalanced,
			make: func(env loop.Env) loop.Runner {
				return cloud.NewBalancers(env, cfg.Cloud)
			}},
		{name: "load-balancer-announcer", account: "node-controller", component: "load-balancer-announcer",
			reads: "endpointslices nodes services", writes: "nodes",
			when: m.firstAnnounced,
			make: func(env loop.Env) loop.Runner {
				return cloud.NewAnnouncer(env, cfg.Cloud)
			}},
	}
}

// firstAnnounced starts a controller when there is a Service of type LoadBalancer whose address a node has to announce, or a node that
// announces some.
func (m *Manager) firstAnnounced(set *cache.Set, start func()) {
	if p := m.cfg.Cloud.Provider; p != nil && p.Announced != nil {
		firstBalanced(set, start)
	}
	seen := func(n *corev1.Node) {
		if n.Annotations[api.AnnotationAnnounced] != "" {
			start()
		}
	}
	cache.For[*corev1.Node](set, client.Nodes, cache.Options{}).Handle(cache.Handler[*corev1.Node]{
		Add: seen, Update: func(_, n *corev1.Node) { seen(n) },
	})
}

// firstBalanced starts a controller when there is a Service of type LoadBalancer, or one whose balancer is to be deleted.
func firstBalanced(set *cache.Set, start func()) {
	seen := func(svc *corev1.Service) {
		if cloud.Concerns(svc) {
			start()
		}
	}
	cache.For[*corev1.Service](set, client.Services, cache.Options{}).Handle(cache.Handler[*corev1.Service]{
		Add:    seen,
		Update: func(_, svc *corev1.Service) { seen(svc) },
	})
}
