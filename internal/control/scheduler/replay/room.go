package replay

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// overcommitted says of what more is asked of a node than it has, "" for of nothing.
func overcommitted(n *node) string {
	asked := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(int64(len(n.pods)), resource.DecimalSI)}
	ports := map[string]string{}
	for _, p := range n.pods {
		for name, q := range resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{}) {
			sum := asked[name]
			sum.Add(q)
			asked[name] = sum
		}
		for _, c := range p.Spec.Containers {
			for _, port := range c.Ports {
				if port.HostPort == 0 {
					continue
				}
				key := fmt.Sprint(port.Protocol, "/", port.HostPort) // the tests' ports are on every address
				if other := ports[key]; other != "" {
					return fmt.Sprintf("port %s is that of %s and %s", key, other, p.Name)
				}
				ports[key] = p.Name
			}
		}
	}
	for name, q := range asked {
		if has := n.object.Status.Allocatable[name]; q.Cmp(has) > 0 {
			return fmt.Sprintf("%s of %s are asked for, %s allocatable", q.String(), name, has.String())
		}
	}
	return ""
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
		with := &node{object: n.object, pods: map[types.UID]*corev1.Pod{p.UID: p}}
		for uid, o := range n.pods {
			with.pods[uid] = o
		}
		for _, o := range promised[name] {
			with.pods[o.UID] = o
		}
		if overcommitted(with) == "" {
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
