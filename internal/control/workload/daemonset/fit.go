package daemonset

import (
	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// judge decides which nodes a set wants pods on, by those of the scheduler's predicates that a node cannot pass later: node name,
// node selector and affinity, taints. What a set asks for is taken apart once for all nodes.
type judge struct {
	nodeName    string
	required    nodeaffinity.RequiredNodeAffinity
	tolerations []corev1.Toleration
}

func newJudge(ds *appsv1.DaemonSet) *judge {
	spec := &ds.Spec.Template.Spec
	return &judge{
		nodeName: spec.NodeName, tolerations: tolerations(spec),
		required: nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity),
	}
}

// fit is whether a node gets a pod, and whether one that is there stays. Who gets one keeps it.
type fit struct{ runs, stays bool }

func (j *judge) fit(node *corev1.Node) fit {
	if j.nodeName != "" && j.nodeName != node.Name {
		return fit{}
	}
	if ok, _ := j.required.Match(node); !ok { // terms that do not parse select nothing
		return fit{}
	}
	f := fit{true, true}
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect == corev1.TaintEffectPreferNoSchedule || j.tolerates(t) {
			continue
		}
		f.runs = false
		if t.Effect == corev1.TaintEffectNoExecute {
			f.stays = false
		}
	}
	return f
}

func (j *judge) tolerates(t *corev1.Taint) bool {
	for i := range j.tolerations {
		if j.tolerations[i].ToleratesTaint(logr.Discard(), t, false) {
			return true
		}
	}
	return false
}
