package core

import (
	corev1 "k8s.io/api/core/v1"
)

// DefaultPodSpec fills the unset fields of a pod spec: of a pod, or of the template of any workload. The defaults that
// upstream gives only to pods and not to templates (requests from limits, host ports, service links) are in defaultPod.
func DefaultPodSpec(spec *corev1.PodSpec) {
}

// DefaultPodTemplate fills the unset fields of a workload's pod template; nil is fine.
func DefaultPodTemplate(template *corev1.PodTemplateSpec) {
	if template != nil {
		DefaultPodSpec(&template.Spec)
	}
}
