package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// DefaultPodTemplate fills the unset fields of a workload's pod template; nil is fine.
func DefaultPodTemplate(template *corev1.PodTemplateSpec) {
	if template != nil {
		DefaultPodSpec(&template.Spec)
	}
}

// DefaultPodSpec fills the unset fields of a pod spec: of a pod, or of the template of any workload. The defaults that
// upstream gives only to pods and not to templates (requests from limits, host ports, service links) are in defaultPod:
// a new one must go there, for defaulting a template changes its hash and so rolls every workload out again.
func DefaultPodSpec(spec *corev1.PodSpec) {
	// serviceAccount is the old name of serviceAccountName; they are kept equal.
	if spec.ServiceAccountName == "" {
		spec.ServiceAccountName = spec.DeprecatedServiceAccount
	}
	spec.DeprecatedServiceAccount = spec.ServiceAccountName
	setDefault(&spec.DNSPolicy, corev1.DNSClusterFirst)
	setDefault(&spec.RestartPolicy, corev1.RestartPolicyAlways)
	if spec.SecurityContext == nil {
		spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	setDefaultPtr(&spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	setDefault(&spec.SchedulerName, corev1.DefaultSchedulerName)
	for i := range spec.Volumes {
		defaultVolume(&spec.Volumes[i])
	}
	for i := range spec.InitContainers {
		defaultContainer(&spec.InitContainers[i])
	}
	for i := range spec.Containers {
		defaultContainer(&spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		defaultContainer((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
	roundResources(spec.Overhead)
	roundRequirements(spec.Resources)
}

// defaultPod is upstream's SetObjectDefaults_Pod.
func defaultPod(pod *corev1.Pod) {
	spec := &pod.Spec
	if g := spec.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		*g = 1
	}
	for i := range spec.Containers {
		requestsFromLimits(&spec.Containers[i].Resources)
	}
	for i := range spec.InitContainers {
		requestsFromLimits(&spec.InitContainers[i].Resources)
	}
	setDefaultPtr(&spec.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	if spec.HostNetwork {
		defaultHostPorts(spec.Containers)
		defaultHostPorts(spec.InitContainers)
	}
	DefaultPodSpec(spec)
	defaultPodStatus(&pod.Status)
}

func defaultPodStatus(status *corev1.PodStatus) {
	// podIP and podIPs say the same; where they disagree podIP wins, for the sake of old kubelets.
	switch {
	case status.PodIP != "" && (len(status.PodIPs) == 0 || status.PodIPs[0].IP != status.PodIP):
		status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	case status.PodIP == "" && len(status.PodIPs) > 0:
		status.PodIP = status.PodIPs[0].IP
	}
	for _, list := range [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses} {
		for i := range list {
			roundResources(list[i].AllocatedResources)
			roundRequirements(list[i].Resources)
		}
	}
	roundResources(status.AllocatedResources)
	roundRequirements(status.Resources)
}

func requestsFromLimits(r *corev1.ResourceRequirements) {
	if r.Limits == nil {
		return
	}
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	for name, limit := range r.Limits {
		if _, ok := r.Requests[name]; !ok {
			r.Requests[name] = limit.DeepCopy()
		}
	}
}

func defaultHostPorts(containers []corev1.Container) {
	for i := range containers {
		for j := range containers[i].Ports {
			p := &containers[i].Ports[j]
			setDefault(&p.HostPort, p.ContainerPort)
		}
	}
}

func roundRequirements(r *corev1.ResourceRequirements) {
	if r != nil {
		roundResources(r.Limits)
		roundResources(r.Requests)
	}
}

// roundResources rounds quantities up to a thousandth, the finest that the API keeps.
func roundResources(list corev1.ResourceList) {
	for name, q := range list {
		if exact := q.RoundUp(resource.Milli); !exact {
			list[name] = q
		}
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func setDefaultPtr[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
