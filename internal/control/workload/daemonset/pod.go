package daemonset

import (
	"maps"
	"slices"
	"strconv"

	"sampan.dev/internal/control/workload/podcontrol"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// generationLabel has the number of the template that a pod was made of, as it was counted before there were revisions.
const generationLabel = "pod-template-generation"

// generationOf is the number of the set's template, "" where there is none.
func generationOf(ds *appsv1.DaemonSet) string {
	v := ds.Annotations[appsv1.DeprecatedTemplateGeneration]
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// podOf is the pod that is made on every node, but for its affinity. It shares the template.
func podOf(ds *appsv1.DaemonSet, hash string) *corev1.Pod {
	p := podcontrol.New(&ds.Spec.Template, ds, setKind)
	p.Labels = maps.Clone(p.Labels)
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	if g := generationOf(ds); g != "" {
		p.Labels[generationLabel] = g
	}
	if hash != "" {
		p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = hash
	}
	p.Spec.Tolerations = tolerations(&p.Spec)
	return p
}

// pinned is a pod like p for one node.
func pinned(p *corev1.Pod, node string) *corev1.Pod {
	out := *p
	affinity := &corev1.Affinity{}
	if p.Spec.Affinity != nil {
		affinity = p.Spec.Affinity.DeepCopy()
	}
	if affinity.NodeAffinity == nil {
		affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchFields: []corev1.NodeSelectorRequirement{{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
	}}}
	out.Spec.Affinity = affinity
	return &out
}

// targetOf is the node that a pod is on, or will be when it is bound; "" if it is pinned to none.
func targetOf(p *corev1.Pod) string {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName
	}
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, r := range term.MatchFields {
			if r.Key != metav1.ObjectNameField || r.Operator != corev1.NodeSelectorOpIn {
				continue
			}
			if len(r.Values) != 1 {
				return ""
			}
			return r.Values[0]
		}
	}
	return ""
}

// endured are the taints of nodes in trouble, which pods of DaemonSets tolerate without asking for it.
var endured = []corev1.Toleration{
	{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeDiskPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodePIDPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
}

// offline is endured by pods that use the host's network.
var offline = corev1.Toleration{Key: corev1.TaintNodeNetworkUnavailable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}

// tolerations are those of a template and the ones that each pod of a DaemonSet gets: in the place of one that differs in its
// time limit only, else behind the others.
func tolerations(spec *corev1.PodSpec) []corev1.Toleration {
	out := slices.Clone(spec.Tolerations)
	add := func(t corev1.Toleration) {
		found := false
		for i := range out {
			if t.MatchToleration(&out[i]) {
				out[i], found = t, true
			}
		}
		if !found {
			out = append(out, t)
		}
	}
	for _, t := range endured {
		add(t)
	}
	if spec.HostNetwork {
		add(offline)
	}
	return out
}
