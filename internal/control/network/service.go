package network

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// members watches services and pods, and makes a service due when its set of pods may have changed.
type members struct {
	services *cache.Informer[*corev1.Service]
	pods     *cache.Informer[*corev1.Pod]
	queue    *loop.Queue
}

func newMembers(env loop.Env, queue *loop.Queue) *members {
	m := &members{
		services: cache.For[*corev1.Service](env.Informers, client.Services, cache.Options{}),
		pods:     cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{}),
		queue:    queue,
	}
	m.services.Handle(loop.Enqueue[*corev1.Service](queue))
	m.pods.Handle(cache.Handler[*corev1.Pod]{
		Add:    m.podChanged,
		Delete: m.podChanged,
		Update: func(old, pod *corev1.Pod) {
			if !membershipChanged(old, pod) {
				return
			}
			m.podChanged(pod)
			if !maps.Equal(old.Labels, pod.Labels) {
				m.podChanged(old)
			}
		},
	})
	return m
}

func (m *members) podChanged(pod *corev1.Pod) {
	for _, svc := range m.services.List(pod.Namespace) {
		if len(svc.Spec.Selector) > 0 && selects(svc, pod) {
			m.queue.Add(loop.Key(svc))
		}
	}
}

// membershipChanged reports whether a change of a pod can matter to the services that select it.
func membershipChanged(old, pod *corev1.Pod) bool {
	return !maps.Equal(old.Labels, pod.Labels) ||
		old.Spec.Hostname != pod.Spec.Hostname || old.Spec.Subdomain != pod.Spec.Subdomain ||
		(old.DeletionTimestamp == nil) != (pod.DeletionTimestamp == nil) ||
		loop.PodReady(old) != loop.PodReady(pod) || loop.PodTerminal(old) != loop.PodTerminal(pod) ||
		old.Spec.NodeName != pod.Spec.NodeName ||
		!slices.Equal(old.Status.PodIPs, pod.Status.PodIPs)
}

// of returns the pods that a service selects, by name.
func (m *members) of(svc *corev1.Service) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range m.pods.List(svc.Namespace) {
		if selects(svc, pod) {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// selects matches by hand, since it is asked for every service of a namespace on every change of a pod there.
func selects(svc *corev1.Service, pod *corev1.Pod) bool {
	for k, v := range svc.Spec.Selector {
		if have, ok := pod.Labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// selfMade reports whether somebody else is to say where the service leads, if anywhere.
func selfMade(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeExternalName || len(svc.Spec.Selector) == 0
}

func headless(svc *corev1.Service) bool {
	return svc.Spec.ClusterIP == corev1.ClusterIPNone || svc.Spec.ClusterIP == ""
}

// families of a service; one that has none recorded has that of its address, or, headless, both.
func families(svc *corev1.Service) []corev1.IPFamily {
	if len(svc.Spec.IPFamilies) > 0 {
		return svc.Spec.IPFamilies
	}
	if headless(svc) {
		return []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	}
	return []corev1.IPFamily{familyOf(svc.Spec.ClusterIP)}
}

// familyOf an address; "" if it is none.
func familyOf(ip string) corev1.IPFamily {
	addr, err := netip.ParseAddr(ip)
	switch {
	case err != nil:
		return ""
	case addr.Unmap().Is4():
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// addresses of a pod in a family, in canonical form.
func addresses(pod *corev1.Pod, family corev1.IPFamily) []string {
	var out []string
	for _, ip := range pod.Status.PodIPs {
		if familyOf(ip.IP) == family {
			out = append(out, netip.MustParseAddr(ip.IP).Unmap().String())
		}
	}
	return out
}

// reachable reports whether a pod has an address and will not never answer on it again.
func reachable(pod *corev1.Pod) bool {
	return !loop.PodTerminal(pod) && (pod.Status.PodIP != "" || len(pod.Status.PodIPs) > 0)
}

// targetPort finds the port of a pod that a service port leads to.
func targetPort(pod *corev1.Pod, port *corev1.ServicePort) (int32, bool) {
	if port.TargetPort.Type == intstr.Int {
		return port.TargetPort.IntVal, true
	}
	find := func(c *corev1.Container) (int32, bool) {
		for i := range c.Ports {
			if p := &c.Ports[i]; p.Name == port.TargetPort.StrVal && p.Protocol == port.Protocol {
				return p.ContainerPort, true
			}
		}
		return 0, false
	}
	for i := range pod.Spec.Containers {
		if n, ok := find(&pod.Spec.Containers[i]); ok {
			return n, true
		}
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if !pods.IsSidecar(c) {
			continue
		}
		if n, ok := find(c); ok {
			return n, true
		}
	}
	return 0, false
}

// named reports whether the service gives the pod a host name of its own.
func named(pod *corev1.Pod, svc *corev1.Service) bool {
	return pod.Spec.Hostname != "" && pod.Spec.Subdomain == svc.Name
}

func podReference(pod *corev1.Pod) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
}

// triggers finds the time of the change that makes a service's endpoints be written: what kube-proxy reckons programming
// latency from.
type triggers struct {
	mu struct {
		sync.Mutex
		seen map[string]triggered
	}
}

type triggered struct {
	service time.Time
	pods    map[string]time.Time
}

func newTriggers() *triggers {
	t := &triggers{}
	t.mu.seen = map[string]triggered{}
	return t
}

// next returns the earliest change since the last call for the service: its creation, or a pod's becoming ready or not.
// It is zero if there was none.
func (t *triggers) next(svc *corev1.Service, pods []*corev1.Pod) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := loop.Key(svc)
	last, known := t.mu.seen[key]
	now := triggered{service: svc.CreationTimestamp.Time, pods: make(map[string]time.Time, len(pods))}
	var first time.Time
	note := func(at, before time.Time) {
		if at.After(before) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, pod := range pods {
		if c := loop.PodCondition(pod, corev1.PodReady); c != nil && !c.LastTransitionTime.IsZero() {
			now.pods[pod.Name] = c.LastTransitionTime.Time
			note(c.LastTransitionTime.Time, last.pods[pod.Name])
		}
	}
	note(now.service, last.service)
	t.mu.seen[key] = now
	if !known {
		return now.service
	}
	return first
}

func (t *triggers) forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.seen, key)
}

// annotateTrigger puts a trigger time on an object, or takes the last one off.
func annotateTrigger(annotations map[string]string, at time.Time) map[string]string {
	if at.IsZero() {
		delete(annotations, corev1.EndpointsLastChangeTriggerTime)
		return annotations
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[corev1.EndpointsLastChangeTriggerTime] = at.UTC().Format(time.RFC3339Nano)
	return annotations
}
