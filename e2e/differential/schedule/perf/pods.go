package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Labels of the places that terms and constraints are about.
const (
	host = corev1.LabelHostname
	zone = corev1.LabelTopologyZone
)

// podKind is what one kind of pods has beside a container.
type podKind struct {
	requests string // of the container: "cpu memory"; "" for nothing
	change   func(*corev1.Pod)
}

const small = "100m 500Mi"

var podKinds = map[string]podKind{
	"default":    {small, func(*corev1.Pod) {}},
	"light":      {"", func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = new(int64(0)) }},
	"labelled":   {"", label("app", "scheduler-perf")},
	"low":        {"900m 500Mi", func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = new(int64(0)) }},
	"high":       {"3 500Mi", priority(10)},
	"vast":       {"9 500Mi", priority(10)},
	"saturating": {"3 1Gi", func(*corev1.Pod) {}},
	"port": {"100m 100Mi", func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
	}},
	"green":             {small, label("color", "green")},
	"anti":              {small, apart("green", true, false)},
	"anti-team":         {small, apart("green", true, true)},
	"rather-apart":      {small, apart("yellow", false, false)},
	"rather-apart-team": {small, apart("green", false, true)},
	"near":              {small, near("blue", zone, true, false)},
	"near-team":         {small, near("blue", zone, true, true)},
	"rather-near":       {small, near("red", host, false, false)},
	"rather-near-team":  {small, near("red", host, false, true)},
	"zoned": {small, func(p *corev1.Pod) {
		p.Spec.Affinity = onNodes(corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: zone, Operator: corev1.NodeSelectorOpIn, Values: []string{"zone1", "zone2"}}}})
	}},
	"pinned": {"", func(p *corev1.Pod) {
		p.Spec.Affinity = onNodes(corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"scheduler-perf-node"}}}})
	}},
	"gated": {"", gate},
	"gated-near": {"", func(p *corev1.Pod) {
		gate(p)
		p.Labels = map[string]string{"app": "scheduler-perf"}
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: host, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}}}}}
	}},
	"final":         {"", func(p *corev1.Pod) { p.Finalizers = []string{"test.k8s.io/finalizer"} }},
	"spread":        {small, spreading("color", "blue", zone, 5, corev1.DoNotSchedule)},
	"rather-spread": {small, spreading("color", "blue", zone, 5, corev1.ScheduleAnyway)},
	"included": {small, func(p *corev1.Pod) {
		spreading("foo", "bar", host, 1, corev1.DoNotSchedule)(p)
		c := &p.Spec.TopologySpreadConstraints[0]
		c.NodeAffinityPolicy, c.NodeTaintsPolicy = new(corev1.NodeInclusionPolicyHonor), new(corev1.NodeInclusionPolicyHonor)
	}},
	"secret": {small, func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "secret"}}}}
	}},
	"pod-level": {"", func(p *corev1.Pod) { p.Spec.Resources = &corev1.ResourceRequirements{Requests: amounts("100m 200Mi")} }},
	"target":    {"10m 10Mi", func(p *corev1.Pod) { priority(10000)(p); label("service", "target")(p) }},
	"victim":    {"10m 10Mi", func(*corev1.Pod) {}},
	"clogger":   {"", clogger},
}

// newPod makes a pod of a kind.
func newPod(kind, namespace, name, scheduler string) *corev1.Pod {
	k := podKinds[kind]
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	p.Spec.SchedulerName = scheduler
	p.Spec.Containers = []corev1.Container{{Name: "pause", Image: "pause"}}
	p.Spec.Containers[0].Resources.Requests = amounts(k.requests)
	k.change(p)
	return p
}

// amounts reads "cpu memory".
func amounts(s string) corev1.ResourceList {
	cpu, memory, some := strings.Cut(s, " ")
	if !some {
		return nil
	}
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

func label(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels = map[string]string{key: value} }
}

func priority(n int32) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.Priority = &n } }

func gate(p *corev1.Pod) {
	p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "test.k8s.io/hold"}}
}

func onNodes(t corev1.NodeSelectorTerm) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{t}}}}
}

// term is about pods of a colour: in the two namespaces of a case, or in all of one team.
func term(color, where string, team bool) corev1.PodAffinityTerm {
	t := corev1.PodAffinityTerm{TopologyKey: where, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"color": color}}, Namespaces: []string{"sched-1", "sched-0"}}
	if team {
		t.Namespaces, t.NamespaceSelector = nil, &metav1.LabelSelector{MatchLabels: map[string]string{"team": "devops"}}
	}
	return t
}

func apart(color string, must, team bool) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Labels = map[string]string{"color": color}
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}}
		if t := term(color, host, team); must {
			p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = []corev1.PodAffinityTerm{t}
		} else {
			p.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: t}}
		}
	}
}

func near(color, where string, must, team bool) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Labels = map[string]string{"color": color}
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}}
		if t := term(color, where, team); must {
			p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = []corev1.PodAffinityTerm{t}
		} else {
			p.Spec.Affinity.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: t}}
		}
	}
}

func spreading(key, value, where string, skew int32, otherwise corev1.UnsatisfiableConstraintAction) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Labels = map[string]string{key: value}
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: skew, TopologyKey: where, WhenUnsatisfiable: otherwise,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}}}
	}
}

// clogger is a pod that fits nowhere for terms that are dear to judge, and is tried again whenever one of its targets comes or goes.
func clogger(p *corev1.Pod) {
	priority(1000)(p)
	service := func(op metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: "service", Operator: op, Values: values}
	}
	about := func(spaces []string, list ...metav1.LabelSelectorRequirement) corev1.PodAffinityTerm {
		return corev1.PodAffinityTerm{TopologyKey: host, Namespaces: spaces, LabelSelector: &metav1.LabelSelector{MatchExpressions: list}}
	}
	target := about([]string{"starvation-0", "default", "kube-system"}, service(metav1.LabelSelectorOpIn, "target"))
	any := about([]string{"starvation-0", "default"}, service(metav1.LabelSelectorOpExists), service(metav1.LabelSelectorOpNotIn, "non-existent-value"))
	p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{target, any}},
		PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{target}}}
}

// newNode makes a node of a kind: plain, tainted, large (of CPU), named (of room for many pods, and the one that pods are pinned to), empty.
func newNode(kind, name string) *corev1.Node {
	cpu, memory, room := "4", "32Gi", "110"
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	switch kind {
	case "tainted":
		n.Spec.Taints = []corev1.Taint{{Key: "foo", Effect: corev1.TaintEffectNoSchedule}}
	case "large":
		cpu, memory = "128", "16Gi"
	case "named":
		n.Name, room = "scheduler-perf-node", "90000"
	case "empty":
		room = "0"
	}
	n.Labels = map[string]string{host: n.Name}
	n.Status.Capacity = corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse(memory), "pods": resource.MustParse(room)}
	n.Status.Allocatable = n.Status.Capacity
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return n
}

// newVolume makes a volume and a claim that are bound to each other.
func newVolume(kind, namespace, name string) (*corev1.PersistentVolume, *corev1.PersistentVolumeClaim) {
	room := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany}
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: namespace + "-" + name}}
	v.Spec.Capacity, v.Spec.AccessModes, v.Spec.PersistentVolumeReclaimPolicy = room, modes, corev1.PersistentVolumeReclaimRetain
	v.Spec.ClaimRef = &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: namespace, Name: name}
	if kind == "csi" {
		v.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: "ebs.csi.aws.com", VolumeHandle: v.Name}
	} else {
		v.Spec.AWSElasticBlockStore = &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "vol-" + fmt.Sprint(v.Name)}
	}
	c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{"pv.kubernetes.io/bind-completed": "true"}}}
	c.Spec.AccessModes, c.Spec.Resources.Requests, c.Spec.VolumeName = modes, room, v.Name
	c.Spec.StorageClassName = new("")
	return v, c
}
