package pods

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// QoS is the quality of service class of a pod: what its status says, or else what its resources earn it.
func QoS(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	return EarnedQoS(pod)
}

// EarnedQoS is the quality of service class that a pod's resources earn it: BestEffort if nothing asks for cpu or
// memory, Guaranteed if everything has limits for both and requests equal to them, Burstable otherwise.
func EarnedQoS(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Spec.Resources != nil && resource.IsPodLevelResourcesSet(pod) {
		return requirementsQOS(pod.Spec.Resources)
	}
	class := corev1.PodQOSClass("")
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			class = joinQOS(class, requirementsQOS(&list[i].Resources))
		}
	}
	if class == "" {
		return corev1.PodQOSBestEffort
	}
	return class
}

func joinQOS(a, b corev1.PodQOSClass) corev1.PodQOSClass {
	if a == "" || a == b {
		return b
	}
	return corev1.PodQOSBurstable
}

func requirementsQOS(r *corev1.ResourceRequirements) corev1.PodQOSClass {
	class := corev1.PodQOSClass("")
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := r.Requests[name], r.Limits[name]
		switch {
		case !request.Equal(limit):
			return corev1.PodQOSBurstable
		case request.IsZero():
			class = joinQOS(class, corev1.PodQOSBestEffort)
		default:
			class = joinQOS(class, corev1.PodQOSGuaranteed)
		}
	}
	return class
}

// systemCritical is the least priority of those that the system has for itself.
const systemCritical = 2000000000

// IsCritical reports whether a node can not do without a pod: static ones, and those of the system's own priorities. It is not evicted, and
// others make room for it.
func IsCritical(pod *corev1.Pod) bool {
	return IsStatic(pod) || IsMirror(pod) || pod.Spec.Priority != nil && *pod.Spec.Priority >= systemCritical
}
