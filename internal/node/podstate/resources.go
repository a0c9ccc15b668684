package podstate

import (
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The least that the kernel can be told: at or below it, what was given is shown, as the difference means nothing.
const (
	leastLimitMilli = 10
	leastShares     = 2
)

// resources are those that a container is held to: of a running one what the runtime says, and where that says nothing what was
// last known; else what it was given.
func (f *Facts) resources(spec *corev1.Container, c *runtime.Container, was *corev1.ContainerStatus) *corev1.ResourceRequirements {
	r := spec.Resources.DeepCopy()
	if c.State != runtime.Running {
		return r
	}
	if a := f.Actuated; a != nil {
		if held, ok := a.ContainerResources[spec.Name]; ok {
			keep(r.Requests, held.Requests, corev1.ResourceMemory) // the runtime knows no request of memory
			if c.Resources == nil {
				keep(r.Requests, held.Requests, corev1.ResourceCPU)
				keep(r.Limits, held.Limits, corev1.ResourceCPU, corev1.ResourceMemory)
			}
		}
	}
	if c.Resources == nil {
		return r
	}
	cpuLimit, memoryLimit, cpuRequest := enforced(c.Resources)
	old := &corev1.ResourceRequirements{}
	if was != nil && was.State.Running != nil && was.Resources != nil && was.ContainerID == f.RuntimeName+"://"+c.ID {
		old = was.Resources
	}
	show(r.Limits, corev1.ResourceCPU, cpuLimit, leastLimitMilli, old.Limits)
	show(r.Limits, corev1.ResourceMemory, memoryLimit, 0, old.Limits)
	show(r.Requests, corev1.ResourceCPU, cpuRequest, leastShares, old.Requests)
	return r
}

// keep copies the named amounts that both lists have.
func keep(into, from corev1.ResourceList, names ...corev1.ResourceName) {
	for _, name := range names {
		if q, ok := from[name]; ok && into != nil {
			into[name] = q
		}
	}
}

// show puts what is seen of an amount into a list that has any: seen in thousandths for CPU, in bytes for memory, 0 when nothing
// is, and then what was shown before is.
func show(list corev1.ResourceList, name corev1.ResourceName, seen, least int64, before corev1.ResourceList) {
	if list == nil {
		return
	}
	if seen <= 0 {
		keep(list, before, name)
		return
	}
	given := list[name]
	if name == corev1.ResourceCPU {
		if seen > least || given.MilliValue() > least {
			if given.MilliValue() != seen {
				list[name] = *resource.NewMilliQuantity(seen, resource.DecimalSI)
			}
		}
		return
	}
	if given.Value() != seen {
		list[name] = *resource.NewQuantity(seen, resource.BinarySI)
	}
}

// enforced reads what the runtime holds a container to: CPU in thousandths, memory in bytes, 0 for what it does not.
func enforced(got *cri.LinuxContainerResources) (cpuLimit, memoryLimit, cpuRequest int64) {
	if got.CpuPeriod > 0 && got.CpuQuota > 0 {
		cpuLimit = got.CpuQuota * 1000 / got.CpuPeriod
	}
	return cpuLimit, got.MemoryLimitInBytes, sharesToMilli(got.CpuShares)
}

func sharesToMilli(shares int64) int64 {
	if shares < leastShares {
		return 0
	}
	return (shares*1000 + 1023) / 1024
}

// podResources are those that the pod as a whole is held to: while it runs what its control group says, else what it was given.
func (f *Facts) podResources(s *corev1.PodStatus) *corev1.ResourceRequirements {
	r := f.Pod.Spec.Resources.DeepCopy()
	if r == nil {
		r = &corev1.ResourceRequirements{}
	}
	opts := resourcehelper.PodResourcesOptions{}
	if s.Phase != corev1.PodRunning || f.Group == nil {
		r.Requests, r.Limits = resourcehelper.PodRequests(f.Pod, opts), resourcehelper.PodLimits(f.Pod, opts)
		return r
	}
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	if r.Limits == nil {
		r.Limits = corev1.ResourceList{}
	}
	if _, ok := r.Requests[corev1.ResourceMemory]; !ok {
		keep(r.Requests, resourcehelper.PodRequests(f.Pod, opts), corev1.ResourceMemory)
	}
	cpu := r.Requests[corev1.ResourceCPU]
	if !cgroup.SameShares(cgroup.Shares(cpu.MilliValue()), f.Group.Shares) {
		show(r.Requests, corev1.ResourceCPU, sharesToMilli(int64(f.Group.Shares)), leastShares, nil)
	}
	if f.Group.Quota > 0 {
		show(r.Limits, corev1.ResourceCPU, f.Group.Quota*1000/cgroup.Period, leastLimitMilli, nil)
	}
	show(r.Limits, corev1.ResourceMemory, f.Group.Memory, 0, nil)
	return r
}
