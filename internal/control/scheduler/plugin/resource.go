package plugin

import (
	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Requests that a container without any is taken to have when nodes are scored (upstream's util/pod_resources.go), so that
// pods that ask for nothing still spread.
const (
	assumedMilliCPU int64 = 100
	assumedMemory   int64 = 200 << 20
)

// Resources counts what is asked for or there: CPU in thousandths of a core, the rest in the resource's own unit.
type Resources struct {
	MilliCPU  int64
	Memory    int64
	Ephemeral int64
	Pods      int64
	Scalar    map[corev1.ResourceName]int64 // extended resources and huge pages; nil when there are none
}

func resourcesOf(list corev1.ResourceList) Resources {
	var r Resources
	for name, q := range list {
		switch name {
		case corev1.ResourceCPU:
			r.MilliCPU = q.MilliValue()
		case corev1.ResourceMemory:
			r.Memory = q.Value()
		case corev1.ResourceEphemeralStorage:
			r.Ephemeral = q.Value()
		case corev1.ResourcePods:
			r.Pods = q.Value()
		default:
			if r.Scalar == nil {
				r.Scalar = map[corev1.ResourceName]int64{}
			}
			r.Scalar[name] = q.Value()
		}
	}
	return r
}

// plus adds sign times o to r. Scalar is copied before it is changed, because nodes share it between versions.
func (r *Resources) plus(o Resources, sign int64) {
	r.MilliCPU += sign * o.MilliCPU
	r.Memory += sign * o.Memory
	r.Ephemeral += sign * o.Ephemeral
	r.Pods += sign * o.Pods
	if len(o.Scalar) == 0 {
		return
	}
	sum := make(map[corev1.ResourceName]int64, len(r.Scalar)+len(o.Scalar))
	for k, v := range r.Scalar {
		sum[k] = v
	}
	for k, v := range o.Scalar {
		sum[k] += sign * v
	}
	r.Scalar = sum
}

// requests is what the pod needs at its peak: the sum of its containers and sidecars or the largest init step, plus
// overhead. A resize that has been asked for counts at the larger of old and new.
func requests(pod *corev1.Pod) Resources {
	return resourcesOf(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: true}))
}

// assumed is the same with every container's missing CPU and memory requests filled in.
func assumed(pod *corev1.Pod) Resources {
	filled := corev1.ResourceList{
		corev1.ResourceCPU:    *milli(assumedMilliCPU),
		corev1.ResourceMemory: *bytes(assumedMemory),
	}
	return resourcesOf(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{
		UseStatusResources:          true,
		NonMissingContainerRequests: filled,
	}))
}
