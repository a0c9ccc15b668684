package why

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Namespace answers for a namespace, of which left are the objects that have finalizers: "configmaps x: example.com/y".
func Namespace(ns *corev1.Namespace, left []string) *Answer {
	a := &Answer{Kind: "namespace", Name: ns.Name, State: string(ns.Status.Phase)}
	if ns.DeletionTimestamp == nil {
		a.Fine = true
		return a
	}
	a.State = "Terminating"
	for _, c := range ns.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		f := Finding{What: c.Message, Who: "namespace-controller"}
		switch c.Type {
		case corev1.NamespaceDeletionDiscoveryFailure:
			f.Who, f.Mend = "the API server behind an APIService", "bring it back, or delete what names it: kubectl get apiservices | grep False"
		case corev1.NamespaceFinalizersRemaining, corev1.NamespaceContentRemaining:
			f.Who = ""
		}
		a.find(f)
	}
	for _, what := range left {
		f := Finding{What: what}
		for name, who := range owers {
			if strings.HasSuffix(what, ": "+name) {
				f.Who = who
			}
		}
		if f.Who == "" {
			f.Who, f.Mend = "whoever set it: no part of Kubernetes does", "start what takes it off, or, if that is gone for good, take it off (kubectl edit) in "+ns.Name
		}
		a.find(f)
	}
	for _, f := range ns.Finalizers {
		a.held("namespace", []string{f})
	}
	if len(a.Findings) == 0 {
		a.find(Finding{What: fmt.Sprintf("its %d finalizers are still there", len(ns.Spec.Finalizers)), Who: owers["kubernetes"]})
	}
	return a
}

// NodeFacts are what a node's answer is made of.
type NodeFacts struct {
	Node *corev1.Node
	Pods int // on it
}

// Node answers for a node.
func Node(f NodeFacts) *Answer {
	n := f.Node
	a := &Answer{Kind: "node", Name: n.Name, State: fmt.Sprintf("Ready, with %d pods", f.Pods)}
	if n.DeletionTimestamp != nil {
		a.held("node", n.Finalizers)
	}
	reported := false
	for _, c := range n.Status.Conditions {
		bad := c.Status == corev1.ConditionTrue
		if c.Type == corev1.NodeReady {
			reported, bad = true, c.Status != corev1.ConditionTrue
		}
		if !bad {
			continue
		}
		mend := map[corev1.NodeConditionType]string{
			corev1.NodeMemoryPressure: "free memory on it, or move pods away: kubectl drain " + n.Name,
			corev1.NodeDiskPressure:   "free disk space on it: images that nobody uses, logs",
			corev1.NodePIDPressure:    "end processes on it",
			corev1.NodeReady:          "on the machine: sampan status, sampan logs, sampan doctor",
		}[c.Type]
		a.find(Finding{What: fmt.Sprintf("%s is %s: %s: %s (heard of last at %s)", c.Type, c.Status, c.Reason, c.Message, c.LastHeartbeatTime.UTC().Format("2006-01-02 15:04:05Z")), Mend: mend})
		if c.Type == corev1.NodeReady {
			a.State = "NotReady"
		}
	}
	if !reported {
		a.State = "NotReady"
		a.find(Finding{What: "its kubelet has never reported how it is", Who: "the kubelet of " + n.Name, Mend: "on the machine: sampan status, sampan logs"})
	}
	if n.Spec.Unschedulable {
		a.find(Finding{What: "it is cordoned: it takes no new pods", Mend: "kubectl uncordon " + n.Name})
	}
	for _, t := range n.Spec.Taints {
		if t.Key == corev1.TaintNodeUnschedulable || strings.HasPrefix(t.Key, "node.kubernetes.io/") {
			continue // the conditions say so
		}
		a.find(Finding{What: fmt.Sprintf("the taint %s keeps pods off that do not tolerate it", t.ToString()), Mend: fmt.Sprintf("kubectl taint node %s %s:%s-", n.Name, t.Key, t.Effect)})
	}
	a.Fine = len(a.Findings) == 0
	return a
}
