package control

import (
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/cloud"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
)

// clouds is every loop of a cloud controller manager, by upstream's names (k8s.io/cloud-provider/names).
func (m *Manager) clouds() []descriptor {
	cfg := &m.cfg
	return []descriptor{
		{name: "service-lb-controller", alias: "service", account: "service-controller",
			reads: "nodes services", writes: "services/status",
			when: firstBalanced,
			make: func(env loop.Env) loop.Runner {
				return cloud.NewBalancers(env, cfg.Cloud)
			}},
	}
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
