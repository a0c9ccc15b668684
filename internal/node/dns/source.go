package dns

import (
	"sampan.dev/internal/client/cache"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// informers is the source that the product uses.
type informers struct {
	svcs *cache.Informer[*corev1.Service]
	eps  *cache.Informer[*discoveryv1.EndpointSlice]
}

// Names of the indexes on the informers.
const (
	byIP        = "dns/ip"
	byNamespace = "dns/namespace"
	byService   = "dns/service"
)

// index registers the indexes; before the informers run.
func (s informers) index() {
	s.svcs.AddIndex(byIP, func(svc *corev1.Service) []string {
		var out []string
		for _, ip := range clusterIPs(svc) {
			out = append(out, ip.String())
		}
		return out
	})
	s.svcs.AddIndex(byNamespace, func(svc *corev1.Service) []string { return []string{svc.Namespace} })
	s.eps.AddIndex(byService, func(e *discoveryv1.EndpointSlice) []string {
		return []string{e.Namespace + "/" + e.Labels[discoveryv1.LabelServiceName]}
	})
	s.eps.AddIndex(byIP, func(e *discoveryv1.EndpointSlice) []string {
		if _, headless := e.Labels[corev1.IsHeadlessService]; !headless {
			return nil // only those of headless services have names
		}
		var out []string
		for i := range e.Endpoints {
			out = append(out, e.Endpoints[i].Addresses...)
		}
		return out
	})
}

func (s informers) service(namespace, name string) (*corev1.Service, bool) {
	return s.svcs.Get(namespace, name)
}

func (s informers) namespace(name string) bool { return len(s.svcs.ByIndex(byNamespace, name)) > 0 }

func (s informers) slices(namespace, name string) []*discoveryv1.EndpointSlice {
	return s.eps.ByIndex(byService, namespace+"/"+name)
}

func (s informers) serviceByIP(ip string) (*corev1.Service, bool) {
	for _, svc := range s.svcs.ByIndex(byIP, ip) {
		return svc, true
	}
	return nil, false
}

func (s informers) slicesByIP(ip string) []*discoveryv1.EndpointSlice { return s.eps.ByIndex(byIP, ip) }
