package evict

import (
	"fmt"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Limited reports whether anything limits what a pod may put on the node's disk, so that it has to be measured.
func Limited(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if e := pod.Spec.Volumes[i].EmptyDir; e != nil && e.SizeLimit != nil && e.SizeLimit.Sign() == 1 {
			return true
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if _, ok := list[i].Resources.Limits[corev1.ResourceEphemeralStorage]; ok {
				return true
			}
		}
	}
	return false
}

// Exceeds says which limit of local storage a pod has exceeded, in upstream's words; "" when none: those of its emptyDir volumes, that of
// the pod as a whole, those of its containers. signal is how metrics name the limit.
func Exceeds(p *Pod, d Disks) (signal, text string) {
	if !p.Usage.Known {
		return "", ""
	}
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil || v.EmptyDir.SizeLimit.Sign() != 1 {
			continue
		}
		if used, ok := p.Usage.Volumes[v.Name]; ok && used.Bytes > v.EmptyDir.SizeLimit.Value() {
			return "emptydirfs.limit", fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", v.Name, v.EmptyDir.SizeLimit.String())
		}
	}
	if limit, ok := resourcehelper.PodLimits(p.Pod, resourcehelper.PodResourcesOptions{})[corev1.ResourceEphemeralStorage]; ok {
		if p.disk(!d.Images, true).Bytes > limit.Value() {
			return "ephemeralpodfs.limit", fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", limit.String())
		}
	}
	for _, c := range p.Usage.Containers {
		spec := pods.FindContainer(p.Spec.Containers, c.Name)
		if spec == nil {
			if spec = pods.FindContainer(p.Spec.InitContainers, c.Name); spec == nil || !pods.IsSidecar(spec) {
				continue
			}
		}
		used := c.Logs
		if !d.Images {
			used = used.plus(c.Rootfs)
		}
		if limit := spec.Resources.Limits[corev1.ResourceEphemeralStorage]; limit.Value() != 0 && used.Bytes > limit.Value() {
			return "ephemeralcontainerfs.limit", fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", c.Name, limit.String())
		}
	}
	return "", ""
}
