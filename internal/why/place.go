package why

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// filters judge single nodes, in the scheduler's order.
func filters() []plugin.Filter {
	return []plugin.Filter{
		plugin.NodeUnschedulable{}, plugin.NodeName{}, plugin.TaintToleration{}, plugin.NodeAffinity{}, plugin.NodePorts{}, plugin.Fit{},
	}
}

// place says for each node, by name, which plugin keeps a pod off it first.
func place(pod *corev1.Pod, nodes []*corev1.Node, pods []*corev1.Pod) []Verdict {
	on := make(map[string][]*corev1.Pod, len(nodes))
	for _, p := range pods {
		if p.Spec.NodeName != "" && p.UID != pod.UID && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			on[p.Spec.NodeName] = append(on[p.Spec.NodeName], p)
		}
	}
	asked, list := plugin.NewPod(pod), filters()
	out := make([]Verdict, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, judge(asked, plugin.NewNode(n.Name).With(n), on[n.Name], list))
	}
	slices.SortFunc(out, func(a, b Verdict) int { return strings.Compare(a.Node, b.Node) })
	return out
}

// judge says which plugin keeps a pod off a node first. The pods on the node are summed up once a plugin comes that asks for them.
func judge(asked *plugin.Pod, node *plugin.Node, on []*corev1.Pod, list []plugin.Filter) Verdict {
	v := Verdict{Node: node.Name}
	summed := false
	for _, f := range list {
		if _, static := f.(plugin.Static); !static && !summed {
			node, summed = node.WithPods(on), true
		}
		if no := f.Filter(asked, node); !no.Fits() {
			v.Plugin, v.Why = f.Name(), numbers(f, no, asked, node)
			break
		}
	}
	return v
}

// numbers are a verdict's reasons with what they were decided by.
func numbers(f plugin.Filter, no plugin.Verdict, pod *plugin.Pod, node *plugin.Node) string {
	var out []string
	for _, reason := range no.Reasons {
		name, short := strings.CutPrefix(reason, "Insufficient ")
		switch {
		case short:
			want, have, used := amounts(corev1.ResourceName(name), pod, node)
			out = append(out, fmt.Sprintf("%s: %s asked, %s of %s free", reason, want, have, used))
		case reason == "Too many pods":
			out = append(out, fmt.Sprintf("Too many pods: %d of %d", node.Requested.Pods, node.Allocatable.Pods))
		default:
			out = append(out, reason)
		}
	}
	switch f.(type) {
	case plugin.NodeAffinity:
		out = append(out, "the pod wants "+selection(pod.Pod))
	case plugin.NodeName:
		out = append(out, "the pod names "+pod.Spec.NodeName)
	}
	return strings.Join(out, "; ")
}

// amounts are how much of a resource is asked for, how much of it is free, and how much there is in all.
func amounts(name corev1.ResourceName, pod *plugin.Pod, node *plugin.Node) (asked, free, all string) {
	of := func(r *plugin.Resources) int64 {
		switch name {
		case corev1.ResourceCPU:
			return r.MilliCPU
		case corev1.ResourceMemory:
			return r.Memory
		case corev1.ResourceEphemeralStorage:
			return r.Ephemeral
		}
		return r.Scalar[name]
	}
	text := func(n int64) string {
		switch name {
		case corev1.ResourceCPU:
			return resource.NewMilliQuantity(n, resource.DecimalSI).String()
		case corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
			return resource.NewQuantity(n, resource.BinarySI).String()
		}
		return resource.NewQuantity(n, resource.DecimalSI).String()
	}
	return text(of(&pod.Requests)), text(of(&node.Allocatable) - of(&node.Requested)), text(of(&node.Allocatable))
}

// selection is what a pod wants of its node's labels.
func selection(pod *corev1.Pod) string {
	var out []string
	for k, v := range pod.Spec.NodeSelector {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, e := range t.MatchExpressions {
				out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Key, e.Operator, strings.Join(e.Values, ","))))
			}
		}
	}
	return strings.Join(out, " and ")
}

// remedy is the smallest change of a pod, or of a node, that would have it fit somewhere.
func remedy(pod *corev1.Pod, all []Verdict) string {
	if len(all) == 0 {
		return "add a node"
	}
	order := []struct{ plugin, mend string }{
		{"NodeUnschedulable", "kubectl uncordon %s"},
		{"NodeResourcesFit", "ask for less, remove something from %s, or add a node"},
		{"NodePorts", "take another hostPort, or remove the pod that has it from %s"},
		{"TaintToleration", "tolerate the taint of %s in the pod, or remove it: kubectl describe node %[1]s"},
		{"NodeAffinity", "label %s as the pod wants it, or want something else: " + selection(pod)},
		{"NodeName", "remove spec.nodeName, or name a node that there is; %s is one"},
	}
	for _, o := range order {
		for _, v := range all {
			if v.Plugin == o.plugin {
				return fmt.Sprintf(o.mend, v.Node)
			}
		}
	}
	return ""
}
