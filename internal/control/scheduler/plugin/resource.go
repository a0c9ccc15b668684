package plugin

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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
func (r *Resources) plus(o *Resources, sign int64) {
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

// Add adds sign times o to r.
func (r *Resources) Add(o *Resources, sign int64) { r.plus(o, sign) }

func (r *Resources) equal(o *Resources) bool {
	return r.MilliCPU == o.MilliCPU && r.Memory == o.Memory && r.Ephemeral == o.Ephemeral && r.Pods == o.Pods &&
		(len(r.Scalar) == 0 && len(o.Scalar) == 0 || maps.Equal(r.Scalar, o.Scalar))
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

// simple works requests and assumed out for a pod of one container and nothing out of the ordinary, which most are, without
// the maps of quantities that the general way goes through.
func simple(pod *corev1.Pod) (requests, assumed Resources, ok bool) {
	spec := &pod.Spec
	if len(spec.Containers) != 1 || len(spec.InitContainers) > 0 || spec.Resources != nil || len(spec.Overhead) > 0 ||
		len(pod.Status.ContainerStatuses) > 0 {
		return requests, assumed, false
	}
	list := spec.Containers[0].Resources.Requests
	requests = resourcesOf(list)
	assumed = requests
	if _, given := list[corev1.ResourceCPU]; !given {
		assumed.MilliCPU = assumedMilliCPU
	}
	if _, given := list[corev1.ResourceMemory]; !given {
		assumed.Memory = assumedMemory
	}
	return requests, assumed, true
}

func milli(n int64) *resource.Quantity { return resource.NewMilliQuantity(n, resource.DecimalSI) }
func bytes(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.BinarySI) }
