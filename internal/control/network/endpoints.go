package network

import (
	"context"
	"maps"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	managedByLabel     = "endpoints.kubernetes.io/managed-by"
	managedByEndpoints = "endpoint-controller"
	mostPerEndpoints   = 1000

	leaderAnnotation = "control-plane.alpha.kubernetes.io/leader"
)

// endpoints keeps the Endpoints of services with a selector.
type endpoints struct {
	loop.Env
	*members
	queue    *loop.Queue
	all      *cache.Informer[*corev1.Endpoints]
	view     loop.View
	ledger   *loop.Ledger
	triggers *triggers
}

// NewEndpoints makes the endpoints-controller.
func NewEndpoints(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	c := &endpoints{Env: env, members: newMembers(env, queue), queue: queue, ledger: loop.NewLedger(), triggers: newTriggers()}
	c.all = cache.For[*corev1.Endpoints](env.Informers, client.EndpointsResource, cache.Options{})
	c.view = loop.ViewOf(c.all)
	// Updates by others stand until the service changes, as upstream: people edit Endpoints by hand.
	c.all.Handle(cache.Handler[*corev1.Endpoints]{Delete: func(e *corev1.Endpoints) { queue.Add(loop.Key(e)) }})
	controller := &loop.Controller{
		Name: env.Name, Workers: 5, Rest: 4, Queue: queue, Log: env.Log, Ledger: c.ledger,
		Synced:    []<-chan struct{}{c.services.Synced(), c.pods.Synced(), c.all.Synced()},
		Reconcile: c.reconcile,
	}
	return loop.All{controller, loop.Func(c.sweep)}
}

// sweep looks once, at the start, for Endpoints whose service went while nobody watched.
func (c *endpoints) sweep(ctx context.Context) error {
	for _, synced := range []<-chan struct{}{c.services.Synced(), c.all.Synced()} {
		select {
		case <-synced:
		case <-ctx.Done():
			return nil
		}
	}
	for _, e := range c.all.List("") {
		if _, lock := e.Annotations[leaderAnnotation]; !lock {
			c.queue.Add(loop.Key(e))
		}
	}
	return nil
}

func (c *endpoints) reconcile(ctx context.Context, key string) (time.Duration, error) {
	namespace, name := loop.SplitKey(key)
	svc, ok := c.services.Get(namespace, name)
	if !ok {
		return 0, c.remove(ctx, key, namespace, name)
	}
	if selfMade(svc) {
		return 0, nil
	}
	pods := c.of(svc)
	trigger := c.triggers.next(svc, pods)
	have, exists := c.all.Get(namespace, name)
	if !exists {
		have = &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	want := endpointsFor(svc, pods, have, trigger)
	if exists && sameEndpoints(have, want) {
		return 0, nil
	}
	return 0, c.write(ctx, key, svc, want, exists)
}

func (c *endpoints) remove(ctx context.Context, key, namespace, name string) error {
	c.triggers.forget(key)
	c.ledger.Forget(key)
	if _, ok := c.all.Get(namespace, name); !ok {
		return nil
	}
	err := client.Delete(ctx, c.Door, client.EndpointsResource, namespace, name, "")
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (c *endpoints) write(ctx context.Context, key string, svc *corev1.Service, want *corev1.Endpoints, exists bool) error {
	var out *corev1.Endpoints
	var err error
	if exists {
		out, err = client.Update(ctx, c.Door, client.EndpointsResource, want)
	} else {
		out, err = client.Create(ctx, c.Door, client.EndpointsResource, want)
	}
	switch {
	case err == nil:
		c.ledger.Wrote(key, c.view, out)
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case ctx.Err() != nil || apierrors.IsConflict(err):
	case exists:
		c.Events.Eventf(want, corev1.EventTypeWarning, "FailedToUpdateEndpoint", "Failed to update endpoint %s/%s: %v", svc.Namespace, svc.Name, err)
	default:
		c.Events.Eventf(want, corev1.EventTypeWarning, "FailedToCreateEndpoint", "Failed to create endpoint for service %s/%s: %v", svc.Namespace, svc.Name, err)
	}
	return err
}

// endpointsFor returns have as it should be for a service with these pods.
func endpointsFor(svc *corev1.Service, pods []*corev1.Pod, have *corev1.Endpoints, trigger time.Time) *corev1.Endpoints {
	out := have.DeepCopy()
	out.Subsets = subsetsFor(svc, pods)
	out.Labels = maps.Clone(svc.Labels)
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	delete(out.Labels, corev1.IsHeadlessService)
	if headless(svc) {
		out.Labels[corev1.IsHeadlessService] = ""
	}
	out.Labels[managedByLabel] = managedByEndpoints
	out.Annotations = annotateTrigger(out.Annotations, trigger)
	delete(out.Annotations, corev1.EndpointsOverCapacity)
	if truncate(out.Subsets) {
		if out.Annotations == nil {
			out.Annotations = map[string]string{}
		}
		out.Annotations[corev1.EndpointsOverCapacity] = "truncated"
	}
	return out
}

// sameEndpoints compares all but the trigger time.
func sameEndpoints(have, want *corev1.Endpoints) bool {
	_, a := have.Annotations[corev1.EndpointsOverCapacity]
	_, b := want.Annotations[corev1.EndpointsOverCapacity]
	return a == b && maps.Equal(have.Labels, want.Labels) && sameSubsets(have.Subsets, want.Subsets)
}

func sameSubsets(a, b []corev1.EndpointSubset) bool {
	return apiequality.Semantic.DeepEqual(a, b) || apiequality.Semantic.DeepEqual(repack(a), b)
}

func subsetsFor(svc *corev1.Service, pods []*corev1.Pod) []corev1.EndpointSubset {
	var subsets []corev1.EndpointSubset
	for _, pod := range pods {
		if !reachable(pod) || pod.DeletionTimestamp != nil && !svc.Spec.PublishNotReadyAddresses {
			continue
		}
		addr, ok := endpointAddress(svc, pod)
		if !ok {
			continue
		}
		ready := svc.Spec.PublishNotReadyAddresses || loop.PodReady(pod)
		if len(svc.Spec.Ports) == 0 && svc.Spec.ClusterIP == corev1.ClusterIPNone {
			subsets = append(subsets, subset(addr, nil, ready))
		}
		for i := range svc.Spec.Ports {
			sp := &svc.Spec.Ports[i]
			if n, ok := targetPort(pod, sp); ok {
				port := corev1.EndpointPort{Name: sp.Name, Port: n, Protocol: sp.Protocol, AppProtocol: sp.AppProtocol}
				subsets = append(subsets, subset(addr, []corev1.EndpointPort{port}, ready))
			}
		}
	}
	return repack(subsets)
}

func subset(addr corev1.EndpointAddress, ports []corev1.EndpointPort, ready bool) corev1.EndpointSubset {
	if ready {
		return corev1.EndpointSubset{Addresses: []corev1.EndpointAddress{addr}, Ports: ports}
	}
	return corev1.EndpointSubset{NotReadyAddresses: []corev1.EndpointAddress{addr}, Ports: ports}
}

// endpointAddress is the pod's in the service's first family: Endpoints have one family only.
func endpointAddress(svc *corev1.Service, pod *corev1.Pod) (corev1.EndpointAddress, bool) {
	family := familyOf(pod.Status.PodIP)
	switch {
	case len(svc.Spec.IPFamilies) > 0:
		family = svc.Spec.IPFamilies[0]
	case !headless(svc):
		family = familyOf(svc.Spec.ClusterIP)
	}
	addrs := addresses(pod, family)
	if len(addrs) == 0 {
		return corev1.EndpointAddress{}, false
	}
	out := corev1.EndpointAddress{IP: addrs[0], NodeName: &pod.Spec.NodeName, TargetRef: podReference(pod)}
	if named(pod, svc) {
		out.Hostname = pod.Spec.Hostname
	}
	return out, true
}
