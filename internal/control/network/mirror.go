package network

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	managedByMirror = "endpointslicemirroring-controller.k8s.io"
	mostMirrored    = 1000 // addresses of a subset
)

var endpointsKind = corev1.SchemeGroupVersion.WithKind("Endpoints")

// mirror keeps EndpointSlices for Endpoints that somebody else makes for a service without a selector.
type mirror struct {
	loop.Env
	services *cache.Informer[*corev1.Service]
	all      *cache.Informer[*corev1.Endpoints]
	writer   *sliceWriter
}

// NewEndpointSliceMirroring makes the endpointslice-mirroring-controller.
func NewEndpointSliceMirroring(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	c := &mirror{Env: env}
	c.services = cache.For[*corev1.Service](env.Informers, client.Services, cache.Options{})
	c.all = cache.For[*corev1.Endpoints](env.Informers, client.EndpointsResource, cache.Options{})
	c.writer = newSliceWriter(env, queue, managedByMirror)
	c.services.Handle(loop.Enqueue[*corev1.Service](queue))
	c.all.Handle(loop.Enqueue[*corev1.Endpoints](queue))
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: queue, Log: env.Log, Ledger: c.writer.ledger,
		Synced:    []<-chan struct{}{c.services.Synced(), c.all.Synced(), c.writer.slices.Synced()},
		Reconcile: c.reconcile,
	}
}

func (c *mirror) reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name := loop.SplitKey(key)
	have := c.writer.of(key)
	e, ok := c.all.Get(namespace, name)
	svc, served := c.services.Get(namespace, name)
	if !ok || !served || len(svc.Spec.Selector) > 0 || !mirrored(e) {
		err := c.writer.carryOut(ctx, key, slicePlan{remove: have}, time.Time{})
		if !ok && err == nil {
			c.writer.ledger.Forget(key)
		}
		return 0, err
	}
	byFamily, invalid, skipped := mirrorOf(e)
	if invalid > 0 {
		c.Events.Eventf(e, corev1.EventTypeWarning, "InvalidIPAddress", "Skipped %d invalid IP addresses when mirroring to EndpointSlices", invalid)
	}
	if skipped > invalid {
		c.Events.Eventf(e, corev1.EventTypeWarning, "TooManyAddressesToMirror",
			"A max of %d addresses can be mirrored to EndpointSlices per Endpoints subset. %d addresses were skipped", mostMirrored, skipped)
	}
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		var mine []*discoveryv1.EndpointSlice
		for _, s := range have {
			if s.AddressType == discoveryv1.AddressType(family) {
				mine = append(mine, s)
			}
		}
		plan := slicePlan{remove: mine} // without endpoints there is no slice
		if want := byFamily[family]; len(want) > 0 {
			plan = planSlices(mine, want, mirrorSlicing(e, family))
		}
		if err := c.writer.carryOut(ctx, key, plan, time.Time{}); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func mirrored(e *corev1.Endpoints) bool {
	_, lock := e.Annotations[leaderAnnotation]
	return !lock && e.Labels[discoveryv1.LabelSkipMirror] != "true"
}

// mirrorOf returns the endpoints of e by family and ports, and how many addresses are not valid and how many are left out
// in all.
func mirrorOf(e *corev1.Endpoints) (byFamily map[corev1.IPFamily][]*group, invalid, skipped int) {
	byFamily = map[corev1.IPFamily][]*group{}
	for _, s := range repack(e.Subsets) {
		ports := []discoveryv1.EndpointPort{}
		for i := range s.Ports {
			p := &s.Ports[i]
			ports = append(ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol, AppProtocol: p.AppProtocol})
		}
		groups := map[corev1.IPFamily]*group{}
		added := 0
		add := func(list []corev1.EndpointAddress, ready bool) {
			for i := range list {
				family := familyOf(list[i].IP)
				if family == "" {
					invalid++
					skipped++
					continue
				}
				if added == mostMirrored {
					skipped++
					continue
				}
				added++
				g := groups[family]
				if g == nil {
					g = &group{ports: ports}
					groups[family] = g
					byFamily[family] = append(byFamily[family], g)
				}
				g.endpoints = append(g.endpoints, mirrorEndpoint(&list[i], ready))
			}
		}
		add(s.Addresses, true)
		add(s.NotReadyAddresses, false)
	}
	return byFamily, invalid, skipped
}

func mirrorEndpoint(a *corev1.EndpointAddress, ready bool) discoveryv1.Endpoint {
	out := discoveryv1.Endpoint{
		Addresses:  []string{netip.MustParseAddr(a.IP).Unmap().String()},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		TargetRef:  a.TargetRef,
		NodeName:   a.NodeName,
	}
	if a.Hostname != "" {
		out.Hostname = &a.Hostname
	}
	return out
}

func mirrorSlicing(e *corev1.Endpoints, family corev1.IPFamily) slicing {
	labels := maps.Clone(e.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[discoveryv1.LabelServiceName] = e.Name
	labels[discoveryv1.LabelManagedBy] = managedByMirror
	annotations := map[string]string{}
	for k, v := range e.Annotations {
		if k != corev1.EndpointsLastChangeTriggerTime && k != corev1.LastAppliedConfigAnnotation {
			annotations[k] = v
		}
	}
	touch := func(s *discoveryv1.EndpointSlice) bool {
		if maps.Equal(s.Labels, labels) && maps.Equal(s.Annotations, annotations) {
			return false
		}
		s.Labels, s.Annotations = maps.Clone(labels), maps.Clone(annotations)
		return true
	}
	return slicing{
		most: mostMirrored,
		fresh: func(ports []discoveryv1.EndpointPort) *discoveryv1.EndpointSlice {
			s := newSlice(e.Namespace, e.Name, metav1.NewControllerRef(e, endpointsKind), labels, ports, family)
			s.Annotations = maps.Clone(annotations)
			return s
		},
		touch: touch,
		owned: func(s *discoveryv1.EndpointSlice) bool {
			return slices.ContainsFunc(s.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == e.UID && o.Kind == "Endpoints" })
		},
	}
}
