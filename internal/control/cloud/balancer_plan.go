package cloud

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Finalizer keeps a service until its balancer is deleted.
const Finalizer = "service.kubernetes.io/load-balancer-cleanup"

// toBeDeleted is the taint that the cluster autoscaler puts on a node before it deletes the machine.
const toBeDeleted = "ToBeDeletedByClusterAutoscaler"

// step is what a service's balancer needs.
type step int

const (
	leave  step = iota // nothing
	ensure             // make it, or make it what the service asks for
	point              // lead it to other nodes
	remove             // delete it, and take the finalizer off
)

// done is what was last brought about for a service.
type done struct {
	service *corev1.Service // as it was asked for; nil: nothing, or it failed
	nodes   string          // see nodesKey
}

// next decides what a service's balancer needs. Matters says that the balancer's status may change with the nodes.
func next(svc *corev1.Service, was done, nodes string, matters bool) step {
	switch {
	case needsCleanup(svc):
		return remove
	case !wantsBalancer(svc):
		if was.service != nil {
			return remove
		}
		return leave
	case was.service == nil || asksForMore(was.service, svc):
		return ensure
	case was.nodes == nodes:
		return leave
	case matters:
		return ensure
	}
	return point
}

// Concerns reports whether a service is any business of service-lb-controller.
func Concerns(svc *corev1.Service) bool { return wantsBalancer(svc) || needsCleanup(svc) }

// wantsBalancer is false of a service with a class, which is some other controller's.
func wantsBalancer(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeLoadBalancer && svc.Spec.LoadBalancerClass == nil
}

func needsCleanup(svc *corev1.Service) bool {
	return slices.Contains(svc.Finalizers, Finalizer) && (svc.DeletionTimestamp != nil || svc.Spec.Type != corev1.ServiceTypeLoadBalancer)
}

// asksForMore reports whether a change of a service is one that its balancer must learn of.
func asksForMore(old, svc *corev1.Service) bool {
	a, b := &old.Spec, &svc.Spec
	return old.UID != svc.UID || !maps.Equal(old.Annotations, svc.Annotations) ||
		!slices.Equal(a.LoadBalancerSourceRanges, b.LoadBalancerSourceRanges) ||
		!reflect.DeepEqual(a.Ports, b.Ports) ||
		a.SessionAffinity != b.SessionAffinity || !reflect.DeepEqual(a.SessionAffinityConfig, b.SessionAffinityConfig) ||
		a.LoadBalancerIP != b.LoadBalancerIP || !slices.Equal(a.ExternalIPs, b.ExternalIPs) ||
		a.ExternalTrafficPolicy != b.ExternalTrafficPolicy || a.HealthCheckNodePort != b.HealthCheckNodePort ||
		len(a.IPFamilies) != len(b.IPFamilies)
}

// eligible are the nodes that balancers may lead to, by name. A node that is not ready stays: the cloud's health checks are better
// at that than we are.
func eligible(nodes []*corev1.Node) []*corev1.Node {
	var out []*corev1.Node
	for _, n := range nodes {
		if n.DeletionTimestamp == nil && !excluded(n) && !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == toBeDeleted }) {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// excluded reports whether a node's label keeps balancers away; a value that is no boolean does too.
func excluded(n *corev1.Node) bool {
	v, there := n.Labels[corev1.LabelNodeExcludeBalancers]
	no, err := strconv.ParseBool(v)
	return there && (err != nil || no)
}

// nodesKey is the same for two sets of nodes if and only if a balancer need not tell them apart.
func nodesKey(nodes []*corev1.Node, matters func(*corev1.Node) string) string {
	var b strings.Builder
	for _, n := range nodes {
		b.WriteString(n.Name + "\x00" + n.Spec.ProviderID + "\x00")
		if matters != nil {
			b.WriteString(matters(n) + "\x00")
		}
	}
	return b.String()
}

// noted are the names of nodes as an event shows them: twenty, and how many more there are.
func noted(nodes []*corev1.Node) []string {
	const most = 20
	var out []string
	for _, n := range nodes[:min(most, len(nodes))] {
		out = append(out, n.Name)
	}
	if more := len(nodes) - most; more > 0 {
		out = append(out, "<"+strconv.Itoa(more)+" more>")
	}
	return out
}
