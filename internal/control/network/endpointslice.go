package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	managedBySlices = "endpointslice-controller.k8s.io"
	mostPerSlice    = 100

	// serviceIndex finds slices by the service they are labelled for, as "namespace/name".
	serviceIndex = "service"
)

var serviceKind = corev1.SchemeGroupVersion.WithKind("Service")

// endpointSlices keeps the EndpointSlices of services with a selector.
type endpointSlices struct {
	loop.Env
	*members
	nodes    *cache.Informer[*corev1.Node]
	topology *topology
	triggers *triggers
	writer   *sliceWriter
}

// NewEndpointSlice makes the endpointslice-controller.
func NewEndpointSlice(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	c := &endpointSlices{Env: env, members: newMembers(env, queue), triggers: newTriggers()}
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	c.topology = newTopology(c.nodes, queue)
	c.writer = newSliceWriter(env, queue, managedBySlices)
	return &loop.Controller{
		Name: env.Name, Workers: 5, Rest: 4, Queue: queue, Log: env.Log, Ledger: c.writer.ledger,
		Synced:    []<-chan struct{}{c.services.Synced(), c.pods.Synced(), c.nodes.Synced(), c.writer.slices.Synced()},
		Reconcile: c.reconcile,
	}
}

func (c *endpointSlices) reconcile(ctx context.Context, key string) (time.Duration, error) {
	svc, ok := c.services.Get(loop.SplitKey(key))
	if !ok {
		c.triggers.forget(key)
		c.topology.forget(key, corev1.IPv4Protocol, corev1.IPv6Protocol)
		c.writer.ledger.Forget(key)
		return 0, nil // the garbage collector removes the slices
	}
	if selfMade(svc) || svc.DeletionTimestamp != nil {
		return 0, nil
	}
	pods := c.of(svc)
	trigger := c.triggers.next(svc, pods)
	have := c.writer.of(key)
	zone := func(node string) (*corev1.Node, bool) { return c.nodes.Get("", node) }

	var errs []error
	fams := families(svc)
	for _, s := range have {
		if !slices.Contains(fams, corev1.IPFamily(s.AddressType)) {
			errs = append(errs, c.writer.carryOut(ctx, key, slicePlan{remove: []*discoveryv1.EndpointSlice{s}}, trigger))
		}
	}
	for _, family := range fams {
		want, err := slicesFor(svc, pods, zone, family)
		errs = append(errs, err)
		var mine []*discoveryv1.EndpointSlice
		for _, s := range have {
			if s.AddressType == discoveryv1.AddressType(family) {
				mine = append(mine, s)
			}
		}
		c.topology.hint(c.Events, svc, family, want, mine)
		plan := planSlices(mine, want, serviceSlicing(svc, family))
		errs = append(errs, c.writer.carryOut(ctx, key, plan, trigger))
	}
	err := errors.Join(errs...)
	if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
		c.Events.Eventf(svc, corev1.EventTypeWarning, "FailedToUpdateEndpointSlices",
			"Error updating Endpoint Slices for Service %s/%s: %v", svc.Namespace, svc.Name, err)
	}
	return 0, err
}

// slicesFor returns the endpoints that a service has in one family, by their ports, in the order of pods. Pods on nodes that
// are not known are left out with an error, unless the service publishes what is not ready too.
func slicesFor(svc *corev1.Service, pods []*corev1.Pod, nodeOf func(string) (*corev1.Node, bool), family corev1.IPFamily) ([]*group, error) {
	var groups []*group
	var errs []error
	byPorts := map[string]*group{}
	for _, pod := range pods {
		if !reachable(pod) {
			continue
		}
		node, ok := nodeOf(pod.Spec.NodeName)
		if !ok && !svc.Spec.PublishNotReadyAddresses {
			errs = append(errs, fmt.Errorf("skipping Pod %s for Service %s/%s: Node %s Not Found", pod.Name, svc.Namespace, svc.Name, pod.Spec.NodeName))
			continue
		}
		addrs := addresses(pod, family)
		if len(addrs) == 0 {
			continue
		}
		ports := slicePorts(svc, pod)
		key := portsKey(ports)
		g := byPorts[key]
		if g == nil {
			g = &group{ports: ports}
			byPorts[key] = g
			groups = append(groups, g)
		}
		g.endpoints = append(g.endpoints, endpointOf(svc, pod, node, addrs))
	}
	return groups, errors.Join(errs...)
}

func endpointOf(svc *corev1.Service, pod *corev1.Pod, node *corev1.Node, addrs []string) discoveryv1.Endpoint {
	serving, terminating := loop.PodReady(pod), pod.DeletionTimestamp != nil
	ready := svc.Spec.PublishNotReadyAddresses || serving && !terminating
	e := discoveryv1.Endpoint{
		Addresses:  addrs,
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  podReference(pod),
	}
	if pod.Spec.NodeName != "" {
		e.NodeName = &pod.Spec.NodeName
	}
	if node != nil {
		if zone := node.Labels[corev1.LabelTopologyZone]; zone != "" {
			e.Zone = &zone
		}
	}
	if named(pod, svc) {
		e.Hostname = &pod.Spec.Hostname
	}
	if ready {
		e.Hints = hintsOf(svc, &e)
	}
	return e
}

// hintsOf says to whom an endpoint is near, for services that ask for near endpoints by their trafficDistribution.
func hintsOf(svc *corev1.Service, e *discoveryv1.Endpoint) *discoveryv1.EndpointHints {
	if wantsHints(svc) {
		return nil // which depend on all endpoints, see spread
	}
	var h discoveryv1.EndpointHints
	switch value(svc.Spec.TrafficDistribution) {
	case corev1.ServiceTrafficDistributionPreferSameNode:
		if e.NodeName != nil {
			h.ForNodes = []discoveryv1.ForNode{{Name: *e.NodeName}}
		}
	case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone:
	default:
		return nil
	}
	if e.Zone != nil {
		h.ForZones = []discoveryv1.ForZone{{Name: *e.Zone}}
	}
	if h.ForNodes == nil && h.ForZones == nil {
		return nil
	}
	return &h
}

func slicePorts(svc *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	ports := []discoveryv1.EndpointPort{}
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		n, ok := targetPort(pod, sp)
		if !ok {
			continue
		}
		ports = append(ports, discoveryv1.EndpointPort{Name: &sp.Name, Port: &n, Protocol: &sp.Protocol, AppProtocol: sp.AppProtocol})
	}
	return ports
}

func serviceSlicing(svc *corev1.Service, family corev1.IPFamily) slicing {
	labels := sliceLabels(svc)
	return slicing{
		most: mostPerSlice,
		fresh: func(ports []discoveryv1.EndpointPort) *discoveryv1.EndpointSlice {
			return newSlice(svc.Namespace, svc.Name, metav1.NewControllerRef(svc, serviceKind), labels, ports, family)
		},
		touch: func(s *discoveryv1.EndpointSlice) bool {
			if maps.Equal(s.Labels, labels) {
				return false
			}
			s.Labels = maps.Clone(labels)
			return true
		},
		owned: func(s *discoveryv1.EndpointSlice) bool {
			return slices.ContainsFunc(s.OwnerReferences, func(o metav1.OwnerReference) bool {
				return o.UID == svc.UID && o.Kind == "Service" && o.APIVersion == "v1"
			})
		},
	}
}

// sliceLabels are the service's own, and those that say what the slice is.
func sliceLabels(svc *corev1.Service) map[string]string {
	out := map[string]string{}
	for k, v := range svc.Labels {
		if k != discoveryv1.LabelServiceName && k != discoveryv1.LabelManagedBy && k != corev1.IsHeadlessService {
			out[k] = v
		}
	}
	if headless(svc) {
		out[corev1.IsHeadlessService] = ""
	}
	out[discoveryv1.LabelServiceName] = svc.Name
	out[discoveryv1.LabelManagedBy] = managedBySlices
	return out
}

func newSlice(namespace, service string, owner *metav1.OwnerReference, labels map[string]string, ports []discoveryv1.EndpointPort, family corev1.IPFamily) *discoveryv1.EndpointSlice {
	prefix := service + "-"
	if len(validation.NameIsDNSSubdomain(prefix, true)) != 0 {
		prefix = service
	}
	if ports == nil {
		ports = []discoveryv1.EndpointPort{}
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: prefix, Labels: maps.Clone(labels),
			OwnerReferences: []metav1.OwnerReference{*owner},
		},
		AddressType: discoveryv1.AddressType(family),
		Ports:       ports,
		Endpoints:   []discoveryv1.Endpoint{},
	}
}

// sliceWriter watches and writes the slices that one controller manages.
type sliceWriter struct {
	door    client.Interface
	slices  *cache.Informer[*discoveryv1.EndpointSlice]
	view    loop.View
	ledger  *loop.Ledger
	manager string
}

func newSliceWriter(env loop.Env, queue *loop.Queue, manager string) *sliceWriter {
	w := &sliceWriter{door: env.Door, ledger: loop.NewLedger(), manager: manager}
	w.slices = cache.For[*discoveryv1.EndpointSlice](env.Informers, client.EndpointSlices, cache.Options{})
	w.slices.AddIndex(serviceIndex, func(s *discoveryv1.EndpointSlice) []string {
		if name := s.Labels[discoveryv1.LabelServiceName]; name != "" {
			return []string{loop.KeyOf(s.Namespace, name)}
		}
		return nil
	})
	w.view = loop.ViewOf(w.slices)
	changed := func(s *discoveryv1.EndpointSlice) {
		if name := s.Labels[discoveryv1.LabelServiceName]; name != "" && s.Labels[discoveryv1.LabelManagedBy] == manager {
			queue.Add(loop.KeyOf(s.Namespace, name))
		}
	}
	w.slices.Handle(cache.Handler[*discoveryv1.EndpointSlice]{
		Add:    changed,
		Update: func(old, s *discoveryv1.EndpointSlice) { changed(old); changed(s) },
		Delete: changed,
	})
	return w
}

// of returns the manager's slices of a service, but for those that are being deleted.
func (w *sliceWriter) of(key string) []*discoveryv1.EndpointSlice {
	var out []*discoveryv1.EndpointSlice
	for _, s := range w.slices.ByIndex(serviceIndex, key) {
		if s.Labels[discoveryv1.LabelManagedBy] == w.manager && s.DeletionTimestamp == nil {
			out = append(out, s)
		}
	}
	sortSlices(out)
	return out
}

// carryOut writes the slices of a plan, which are independent of each other, beside each other: new endpoints first, then
// changed ones, and only then those that are to go. It returns the first error of a step.
func (w *sliceWriter) carryOut(ctx context.Context, key string, plan slicePlan, trigger time.Time) error {
	err := each(plan.create, func(s *discoveryv1.EndpointSlice) error {
		s.Annotations = annotateTrigger(s.Annotations, trigger)
		out, err := client.Create(ctx, w.door, client.EndpointSlices, s)
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return errTerminating
		}
		if err != nil {
			return fmt.Errorf("failed to create EndpointSlice for Service %s: %w", key, err)
		}
		w.ledger.Wrote(key, w.view, out)
		return nil
	})
	if errors.Is(err, errTerminating) {
		return nil // nothing more will ever be created here
	}
	if err != nil {
		return err
	}
	err = each(plan.update, func(s *discoveryv1.EndpointSlice) error {
		s.Annotations = annotateTrigger(s.Annotations, trigger)
		out, err := client.Update(ctx, w.door, client.EndpointSlices, s)
		if err != nil {
			return fmt.Errorf("failed to update %s EndpointSlice for Service %s: %w", s.Name, key, err)
		}
		w.ledger.Wrote(key, w.view, out)
		return nil
	})
	if err != nil {
		return err
	}
	return each(plan.remove, func(s *discoveryv1.EndpointSlice) error {
		if err := client.Delete(ctx, w.door, client.EndpointSlices, s.Namespace, s.Name, s.UID); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("failed to delete %s EndpointSlice for Service %s: %w", s.Name, key, err)
		}
		w.ledger.Deleted(key, w.view, s)
		return nil
	})
}

var errTerminating = errors.New("the namespace is being terminated")

// each calls fn with every slice, many at a time, and returns the first error in their order.
func each(slices []*discoveryv1.EndpointSlice, fn func(*discoveryv1.EndpointSlice) error) error {
	errs := make([]error, len(slices))
	loop.Together(len(slices), func(i int) { errs[i] = fn(slices[i]) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
