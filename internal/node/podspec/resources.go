package podspec

import (
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/cgroup"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Effective are the requirements that a container is held to: where it has no limit of CPU or memory of its own, its pod's is.
func Effective(pod *corev1.Pod, c *corev1.Container) corev1.ResourceRequirements {
	if pod.Spec.Resources == nil || len(pod.Spec.Resources.Limits) == 0 {
		return c.Resources
	}
	out := *c.Resources.DeepCopy()
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		own, whole := out.Limits[name], pod.Spec.Resources.Limits[name]
		if own.IsZero() && !whole.IsZero() {
			if out.Limits == nil {
				out.Limits = corev1.ResourceList{}
			}
			out.Limits[name] = whole
		}
	}
	return out
}

// ResourcesOf describes amounts to the runtime, for a container that runs; 0 leaves what it has.
func ResourcesOf(a allocation.Amounts) *cri.LinuxContainerResources {
	out := &cri.LinuxContainerResources{CpuPeriod: cgroup.Period, CpuQuota: cgroup.Quota(a.CPULimit), MemoryLimitInBytes: a.MemoryLimit}
	milli := a.CPURequest
	if milli == 0 {
		milli = a.CPULimit
	}
	out.CpuShares = int64(cgroup.Shares(milli))
	return out
}
