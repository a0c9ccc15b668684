package resize

import (
	"context"
	"errors"
	"fmt"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/cgroup"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Actuator brings running pods to the amounts that they were given. It has no state; calls for one pod must not overlap.
type Actuator struct {
	Runtime runtime.Interface
	Cgroups *cgroup.Manager
	Alloc   *allocation.Manager
	Memory  func() int64 // of the machine, in bytes
	Rules   podspec.MemoryRules
	Host    func() podspec.MemoryHost
	OwnCPUs func(uid types.UID) bool // whether a pod has CPUs to itself, and so no limit of CPU
}

// Resize brings a running pod and its containers to the amounts that it was given. Where the pod gets more, its group is widened before
// its containers are; where it gets less, it is narrowed after them: no container is ever held to more than its pod. What was done is
// noted container by container, so that whoever goes on after a crash repeats at most the one under way.
func (a *Actuator) Resize(ctx context.Context, pod *corev1.Pod, sandbox string, r *podstate.Resize) error {
	group := podspec.Cgroup(pod)
	if a.OwnCPUs(pod.UID) {
		group.CPULimitMilli = 0
	}
	a.Rules.Reserve(&group, pod)
	want := cgroup.LimitsOf(group)
	have, ok := a.Cgroups.Limits(group)
	if !ok {
		have = want
	}
	if len(r.Memory) > 0 || r.Pod {
		if err := a.fitsMemory(ctx, pod, r, have.Memory, want.Memory); err != nil {
			return err
		}
	}
	s := resizing{a, ctx, pod, group, sandbox, have}
	if len(r.Memory) > 0 || r.Pod || r.PodLevel {
		if err := s.memory(r, want); err != nil {
			return err
		}
	}
	if len(r.CPU) > 0 || r.Pod || r.PodLevel {
		if err := s.cpu(r, want); err != nil {
			return err
		}
	}
	return a.Alloc.Actuated.Flush()
}

// resizing is one resize of a pod. now is what its group is held to.
type resizing struct {
	*Actuator
	ctx     context.Context
	pod     *corev1.Pod
	group   cgroup.Pod
	sandbox string
	now     cgroup.Limits
}

// wider reports whether a limit of b leaves more room than one of a; 0 is none.
func wider(a, b int64) bool { return a != b && (b == 0 || a != 0 && b > a) }

func (s *resizing) memory(r *podstate.Resize, want cgroup.Limits) error {
	set := func() error {
		next := s.now
		next.Memory = want.Memory
		return s.tell(next, corev1.ResourceMemory, func() error {
			return errors.Join(s.Cgroups.SetMemory(s.group, want.Memory), s.Cgroups.SetProtection(s.group))
		})
	}
	if wider(s.now.Memory, want.Memory) {
		if err := set(); err != nil {
			return err
		}
	}
	for i := range r.Memory {
		u := &r.Memory[i]
		next := u.Have
		next.MemoryLimit, next.MemoryRequest = u.Want.MemoryLimit, u.Want.MemoryRequest
		if err := s.update(u, next, corev1.ResourceMemory); err != nil {
			return err
		}
		for j := range r.CPU { // the same container's CPU goes on from here
			if r.CPU[j].ID == u.ID {
				r.CPU[j].Have = next
			}
		}
	}
	if s.now.Memory != want.Memory {
		if err := set(); err != nil {
			return err
		}
	}
	s.noted(r, corev1.ResourceMemory)
	return nil
}

func (s *resizing) cpu(r *podstate.Resize, want cgroup.Limits) error {
	quota := func() error {
		next := s.now
		next.Quota = want.Quota
		return s.tell(next, corev1.ResourceCPU, func() error { return s.Cgroups.SetQuota(s.group, want.Quota) })
	}
	shares := func() error {
		next := s.now
		next.Shares = want.Shares
		return s.tell(next, corev1.ResourceCPU, func() error { return s.Cgroups.SetShares(s.group, want.Shares) })
	}
	if wider(s.now.Quota, want.Quota) {
		if err := quota(); err != nil {
			return err
		}
	}
	if want.Shares > s.now.Shares {
		if err := shares(); err != nil {
			return err
		}
	}
	for i := range r.CPU {
		u := &r.CPU[i]
		next := u.Have
		next.CPULimit, next.CPURequest = u.Want.CPULimit, u.Want.CPURequest
		if err := s.update(u, next, corev1.ResourceCPU); err != nil {
			return err
		}
	}
	if want.Shares != s.now.Shares {
		if err := shares(); err != nil {
			return err
		}
	}
	if want.Quota != s.now.Quota {
		if err := quota(); err != nil {
			return err
		}
	}
	s.noted(r, corev1.ResourceCPU)
	return nil
}

// tell asks the runtime first, which may refuse, and then has the group set.
func (s *resizing) tell(next cgroup.Limits, name corev1.ResourceName, set func() error) error {
	res := &cri.LinuxContainerResources{CpuPeriod: cgroup.Period, CpuQuota: next.Quota, CpuShares: int64(next.Shares), MemoryLimitInBytes: next.Memory}
	if err := s.Runtime.UpdateSandbox(s.ctx, s.sandbox, res); err != nil {
		return fmt.Errorf("failed to notify runtime for UpdatePodSandboxResources (resource=%s); resize rejected: %w", name, err)
	}
	if err := set(); err != nil {
		return err
	}
	s.now = next
	return nil
}

// update holds a container to other amounts and notes what of its requirements that makes true.
func (s *resizing) update(u *podstate.Update, next allocation.Amounts, name corev1.ResourceName) error {
	res := podspec.ResourcesOf(next)
	res.OomScoreAdj = podspec.OOMScore(s.pod, u.Container, s.Memory())
	s.Rules.Apply(res, s.pod, u.Container, s.Host())
	if name == corev1.ResourceMemory && s.OwnCPUs(s.pod.UID) {
		res.CpuQuota, res.CpuPeriod, res.CpuShares = 0, 0, 0 // they are not touched
	}
	if err := s.Runtime.UpdateContainer(s.ctx, u.ID, res); err != nil {
		return errors.New(runtime.ErrorText(err))
	}
	info := s.Alloc.Actuated.Get(s.pod.UID)
	if info == nil {
		info = allocation.Of(s.pod)
	}
	held := info.ContainerResources[u.Container.Name]
	s.Alloc.Actuated.Set(s.pod.UID, info.With(u.Container.Name, allocation.Take(held, podspec.Effective(s.pod, u.Container), name)))
	return nil
}

// noted records that the pod as a whole has what it was given of a resource.
func (s *resizing) noted(r *podstate.Resize, name corev1.ResourceName) {
	if !r.PodLevel || s.pod.Spec.Resources == nil {
		return
	}
	if info := s.Alloc.Actuated.Get(s.pod.UID); info != nil {
		held := corev1.ResourceRequirements{}
		if info.PodLevelResources != nil {
			held = *info.PodLevelResources
		}
		s.Alloc.Actuated.Set(s.pod.UID, info.WithPod(new(allocation.Take(held, *s.pod.Spec.Resources, name))))
	}
}

// fitsMemory refuses to take memory away that is in use: the kernel would kill instead. It is a best effort, as use may grow meanwhile.
func (a *Actuator) fitsMemory(ctx context.Context, pod *corev1.Pod, r *podstate.Resize, have, want int64) error {
	shrinks := want != 0 && (have == 0 || want < have)
	limits := map[string]int64{}
	for _, u := range r.Memory {
		if w := u.Want.MemoryLimit; w != 0 && (u.Have.MemoryLimit == 0 || w < u.Have.MemoryLimit) {
			limits[u.ID] = w
		}
	}
	if !shrinks && len(limits) == 0 {
		return nil
	}
	var errs []string
	usage, ok := a.Cgroups.Usage(podspec.Cgroup(pod))
	switch {
	case !shrinks:
	case !ok:
		errs = append(errs, "missing pod memory usage")
	case usage.Memory >= uint64(want):
		errs = append(errs, fmt.Sprintf("attempting to set pod memory limit (%d) below current usage (%d)", want, usage.Memory))
	}
	for _, u := range r.Memory {
		limit, asked := limits[u.ID]
		if !asked {
			continue
		}
		used, err := a.Runtime.ContainerMemory(ctx, u.ID)
		switch {
		case err != nil:
			return fmt.Errorf("unable to read memory usage for pod %q", pods.Describe(pod))
		case used >= uint64(limit):
			errs = append(errs, fmt.Sprintf("attempting to set container %q memory limit (%d) below current usage (%d)", u.Container.Name, limit, used))
		}
	}
	return refused(errs)
}

// refused joins reasons as upstream's aggregates do.
func refused(errs []string) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("cannot decrease memory limits: %s", errs[0])
	}
	text := errs[0]
	for _, e := range errs[1:] {
		text += ", " + e
	}
	return fmt.Errorf("cannot decrease memory limits: [%s]", text)
}
