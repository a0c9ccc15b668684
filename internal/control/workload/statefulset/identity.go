package statefulset

import (
	"maps"
	"strconv"
	"strings"

	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/workload/podcontrol"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// parse takes a pod's name apart into that of its set and its ordinal. A name that is not of that form has no parent and the
// ordinal -1; so has, but for the parent, one whose number is too large.
func parse(pod string) (parent string, ordinal int) {
	i := strings.LastIndexByte(pod, '-')
	digits := pod[i+1:]
	if i < 0 || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", -1
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return pod[:i], -1
	}
	return pod[:i], int(n)
}

func ordinalOf(p *corev1.Pod) int {
	_, n := parse(p.Name)
	return n
}

// firstOrdinal is that of a set's first pod.
func firstOrdinal(set *appsv1.StatefulSet) int {
	if set.Spec.Ordinals != nil {
		return int(set.Spec.Ordinals.Start)
	}
	return 0
}

// inRange reports whether a set of its present size has a pod of this ordinal.
func inRange(set *appsv1.StatefulSet, ordinal int) bool {
	first := firstOrdinal(set)
	return ordinal >= first && ordinal < first+int(*set.Spec.Replicas)
}

func podName(set *appsv1.StatefulSet, ordinal int) string {
	return set.Name + "-" + strconv.Itoa(ordinal)
}

// claimName is the name of the claim that a template of the set makes for a pod.
func claimName(set *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim, ordinal int) string {
	return template.Name + "-" + podName(set, ordinal)
}

func revisionOf(p *corev1.Pod) string { return p.Labels[appsv1.StatefulSetRevisionLabel] }

// newPod makes the pod of an ordinal from the set's template, which it shares but for labels and volumes.
func newPod(set *appsv1.StatefulSet, revision string, ordinal int) *corev1.Pod {
	p := podcontrol.New(&set.Spec.Template, set, setKind)
	p.Labels = maps.Clone(p.Labels)
	p.Name = podName(set, ordinal)
	identify(p, ordinal)
	p.Labels[appsv1.StatefulSetRevisionLabel] = revision
	p.Spec.Hostname, p.Spec.Subdomain = p.Name, set.Spec.ServiceName
	p.Spec.Volumes = volumes(set, p.Spec.Volumes, ordinal)
	return p
}

// identify puts the labels on a pod that tell which of its set it is.
func identify(p *corev1.Pod, ordinal int) {
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	p.Labels[appsv1.StatefulSetPodNameLabel] = p.Name
	p.Labels[appsv1.PodIndexLabel] = strconv.Itoa(ordinal)
}

// identified reports whether a pod has its identity. The label of its index is put on with the others, but not asked for: pods
// of old have none.
func identified(set *appsv1.StatefulSet, p *corev1.Pod) bool {
	parent, ordinal := parse(p.Name)
	return ordinal >= 0 && parent == set.Name && p.Name == podName(set, ordinal) && p.Labels[appsv1.StatefulSetPodNameLabel] == p.Name
}

// volumes are the pod's claims, in the order of their templates, and those of have that are not named like one.
func volumes(set *appsv1.StatefulSet, have []corev1.Volume, ordinal int) []corev1.Volume {
	templates := set.Spec.VolumeClaimTemplates
	if len(templates) == 0 {
		return have
	}
	out := make([]corev1.Volume, 0, len(templates)+len(have))
	claimed := map[string]bool{}
	for i := range templates {
		claimed[templates[i].Name] = true
		out = append(out, corev1.Volume{Name: templates[i].Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName(set, &templates[i], ordinal)},
		}})
	}
	for _, v := range have {
		if !claimed[v.Name] {
			out = append(out, v)
		}
	}
	return out
}

// mounted reports whether a pod has the claims of its set's templates as volumes.
func mounted(set *appsv1.StatefulSet, p *corev1.Pod) bool {
	ordinal := ordinalOf(p)
	for i := range set.Spec.VolumeClaimTemplates {
		t := &set.Spec.VolumeClaimTemplates[i]
		found := false
		for j := range p.Spec.Volumes {
			if v := &p.Spec.Volumes[j]; v.Name == t.Name {
				found = v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claimName(set, t, ordinal)
			}
		}
		if !found {
			return false
		}
	}
	return ordinal >= 0
}

// created reports whether the hub has a pod: it gives each a phase.
func created(p *corev1.Pod) bool { return p.Status.Phase != "" }

func runningAndReady(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodRunning && loop.PodReady(p)
}
