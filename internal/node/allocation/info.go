package allocation

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Info is what one pod was given, by container, and as a whole where its spec says so. Ephemeral containers have nothing. It is
// shared and never changed; its names are those of upstream's checkpoint.
type Info struct {
	ContainerResources map[string]corev1.ResourceRequirements
	PodLevelResources  *corev1.ResourceRequirements
	// EmptyDirVolumeLimits is upstream's for a feature that is off by default.
	EmptyDirVolumeLimits map[string]*resource.Quantity
}

// Of is what a pod's spec asks for.
func Of(pod *corev1.Pod) *Info {
	info := &Info{PodLevelResources: pod.Spec.Resources,
		ContainerResources: make(map[string]corev1.ResourceRequirements, len(pod.Spec.Containers)+len(pod.Spec.InitContainers))}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			info.ContainerResources[list[i].Name] = list[i].Resources
		}
	}
	return info
}

// With is the same but for one container.
func (i *Info) With(container string, r corev1.ResourceRequirements) *Info {
	out := &Info{PodLevelResources: i.PodLevelResources, EmptyDirVolumeLimits: i.EmptyDirVolumeLimits,
		ContainerResources: make(map[string]corev1.ResourceRequirements, len(i.ContainerResources)+1)}
	for name, r := range i.ContainerResources {
		out.ContainerResources[name] = r
	}
	out.ContainerResources[container] = r
	return out
}

// WithPod is the same but for the pod as a whole.
func (i *Info) WithPod(r *corev1.ResourceRequirements) *Info {
	out := *i
	out.PodLevelResources = r
	return &out
}

// Apply is a pod whose spec asks for what it was given: the pod itself where that is no other than what it asks for.
func (i *Info) Apply(pod *corev1.Pod) *corev1.Pod {
	if i == nil || i.same(pod) {
		return pod
	}
	out := *pod
	out.Spec.Resources = i.PodLevelResources
	out.Spec.InitContainers = i.apply(pod.Spec.InitContainers)
	out.Spec.Containers = i.apply(pod.Spec.Containers)
	return &out
}

func (i *Info) apply(list []corev1.Container) []corev1.Container {
	out := append([]corev1.Container(nil), list...)
	for n := range out {
		if given, ok := i.ContainerResources[out[n].Name]; ok {
			out[n].Resources = given
		}
	}
	return out
}

func (i *Info) same(pod *corev1.Pod) bool {
	if !equalPod(pod.Spec.Resources, i.PodLevelResources) {
		return false
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for n := range list {
			if given, ok := i.ContainerResources[list[n].Name]; ok && !equal(&list[n].Resources, &given) {
				return false
			}
		}
	}
	return true
}

func equalPod(a, b *corev1.ResourceRequirements) bool {
	if a == nil || b == nil {
		return a == b
	}
	return equal(a, b)
}

func equal(a, b *corev1.ResourceRequirements) bool {
	return equalList(a.Requests, b.Requests) && equalList(a.Limits, b.Limits)
}

func equalList(a, b corev1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		if other, ok := b[name]; !ok || q.Cmp(other) != 0 {
			return false
		}
	}
	return true
}

// Amounts are what of a container's or pod's resources can be changed in place: CPU in thousandths, memory in bytes; 0: none.
type Amounts struct{ CPURequest, CPULimit, MemoryRequest, MemoryLimit int64 }

// AmountsOf reads requirements.
func AmountsOf(r *corev1.ResourceRequirements) Amounts {
	if r == nil {
		return Amounts{}
	}
	return Amounts{CPURequest: r.Requests.Cpu().MilliValue(), CPULimit: r.Limits.Cpu().MilliValue(),
		MemoryRequest: r.Requests.Memory().Value(), MemoryLimit: r.Limits.Memory().Value()}
}

// ContainerAmounts are those that a container is held to: where it has no limit of its own, its pod's is.
func ContainerAmounts(pod, container *corev1.ResourceRequirements) Amounts {
	a := AmountsOf(container)
	if p := AmountsOf(pod); pod != nil {
		if a.CPULimit == 0 {
			a.CPULimit = p.CPULimit
		}
		if a.MemoryLimit == 0 {
			a.MemoryLimit = p.MemoryLimit
		}
	}
	return a
}

// Take is what is held with one resource as it is given: its requests and limits, where given has any.
func Take(held, given corev1.ResourceRequirements, name corev1.ResourceName) corev1.ResourceRequirements {
	out := *held.DeepCopy()
	take := func(into *corev1.ResourceList, from corev1.ResourceList) {
		q, ok := from[name]
		if !ok {
			delete(*into, name)
			return
		}
		if *into == nil {
			*into = corev1.ResourceList{}
		}
		(*into)[name] = q
	}
	take(&out.Requests, given.Requests)
	take(&out.Limits, given.Limits)
	return out
}
