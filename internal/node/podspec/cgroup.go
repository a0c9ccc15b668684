package podspec

import (
	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/cgroup"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Cgroup describes a pod's control group.
func Cgroup(pod *corev1.Pod) cgroup.Pod {
	req, lim := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}), resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	cpuLimited, limited := true, true // a pod is limited only when all its containers are
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			cpuLimited = cpuLimited && !list[i].Resources.Limits.Cpu().IsZero()
			limited = limited && !list[i].Resources.Limits.Memory().IsZero()
		}
	}
	out := cgroup.Pod{UID: string(pod.UID), CPURequestMilli: req.Cpu().MilliValue()}
	switch pods.QoS(pod) {
	case corev1.PodQOSGuaranteed:
		out.Class = cgroup.Guaranteed
	case corev1.PodQOSBurstable:
		out.Class = cgroup.Burstable
	default:
		out.Class = cgroup.BestEffort
	}
	if r := pod.Spec.Resources; r != nil {
		limited, cpuLimited = limited || !r.Limits.Memory().IsZero(), cpuLimited || !r.Limits.Cpu().IsZero()
	}
	if cpuLimited {
		out.CPULimitMilli = lim.Cpu().MilliValue()
	}
	if limited {
		out.MemoryLimit = lim.Memory().Value()
	}
	return out
}
