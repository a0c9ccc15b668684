package replay

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// load is what the pods on a node ask for, and whose the host ports are.
type load struct {
	asked corev1.ResourceList
	ports map[string]string
	clash string // why the ports do not go together, "" when they do
}

// with returns the load with another pod. The tests' host ports are on every address.
func (l *load) with(p *corev1.Pod) *load {
	out := &load{asked: l.asked.DeepCopy(), ports: maps.Clone(l.ports), clash: l.clash}
	if out.asked == nil {
		out.asked, out.ports = corev1.ResourceList{}, map[string]string{}
	}
	out.add(p)
	return out
}

func (l *load) add(p *corev1.Pod) {
	requests := resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{})
	requests[corev1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	for name, q := range requests {
		sum := l.asked[name]
		sum.Add(q)
		l.asked[name] = sum
	}
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.HostPort == 0 {
				continue
			}
			key := fmt.Sprint(port.Protocol, "/", port.HostPort)
			if other := l.ports[key]; other != "" {
				l.clash = fmt.Sprintf("port %s is that of %s and %s", key, other, p.Name)
			}
			l.ports[key] = p.Name
		}
	}
}

// over says of what more is asked than a node has, "" for of nothing.
func (l *load) over(n *corev1.Node) string {
	for name, q := range l.asked {
		if has := n.Status.Allocatable[name]; q.Cmp(has) > 0 {
			return fmt.Sprintf("%s of %s are asked for, %s allocatable", q.String(), name, has.String())
		}
	}
	return l.clash
}

// load is that of the pods on the node, counted anew when one of them has changed.
func (n *node) load() *load {
	if n.sum == nil {
		n.sum = &load{asked: corev1.ResourceList{}, ports: map[string]string{}}
		for _, p := range n.pods {
			n.sum.add(p)
		}
	}
	return n.sum
}

// unwelcome says why a pod may not be on a node whatever else is on it, "" when it may. Whether a node is cordoned or tainted may have
// been otherwise when the binding was sent, so only what a node keeps is looked at.
func unwelcome(p *corev1.Pod, n *corev1.Node) string {
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(p).Match(n); err != nil || !ok {
		return "it selects other nodes"
	}
	return ""
}

// Room returns the nodes, by name, on which a pod could be as things are: beside the pods that are there and those of at least its
// priority that are nominated, with their selectors, taints and cordons heeded. Pods with claims have no room that it knows of.
func (c *Cluster) Room(p *corev1.Pod) []string {
	var out []string
	if len(p.Spec.ResourceClaims) > 0 {
		return nil
	}
	promised := map[string][]*corev1.Pod{}
	for _, o := range c.pods {
		if o.Spec.NodeName == "" && o.Status.NominatedNodeName != "" && o.UID != p.UID && priority(o) >= priority(p) {
			promised[o.Status.NominatedNodeName] = append(promised[o.Status.NominatedNodeName], o)
		}
	}
	for name, n := range c.nodes {
		if n.object == nil || unwelcome(p, n.object) != "" || n.object.Spec.Unschedulable || repels(p, n.object) {
			continue
		}
		with := n.load().with(p)
		for _, o := range promised[name] {
			with.add(o)
		}
		if with.over(n.object) == "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// repels reports whether a node has a taint that keeps the pod away.
func repels(p *corev1.Pod, n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect != corev1.TaintEffectPreferNoSchedule && !slices.ContainsFunc(p.Spec.Tolerations, func(o corev1.Toleration) bool {
			return o.Key == "" && o.Operator == corev1.TolerationOpExists || o.Key == t.Key && (o.Effect == "" || o.Effect == t.Effect)
		})
	})
}

func priority(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}
