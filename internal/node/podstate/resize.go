package podstate

import (
	"fmt"

	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// Resize is what of a running pod is to be held to other amounts. A resource's list has the containers whose limit shrinks first.
type Resize struct {
	Memory, CPU []Update
	Pod         bool // the pod's group follows containers that are started anew with other amounts
	PodLevel    bool // the pod as a whole was given other amounts
}

// Any reports whether there is anything to do.
func (r *Resize) Any() bool { return len(r.Memory)+len(r.CPU) > 0 || r.Pod || r.PodLevel }

// Update is a running container that is to be held to Want instead of Have.
type Update struct {
	ID         string
	Container  *corev1.Container
	Want, Have allocation.Amounts
}

// changed says what a container is held to and what it is to be, and whether these differ.
func (v View) changed(c *corev1.Container) (want, have allocation.Amounts, differ bool) {
	if v.Actuated == nil {
		return want, have, false
	}
	given, known := v.Actuated.ContainerResources[c.Name]
	if !known {
		return want, have, false
	}
	want = allocation.ContainerAmounts(v.Pod.Spec.Resources, &c.Resources)
	have = allocation.ContainerAmounts(v.Actuated.PodLevelResources, &given)
	return want, have, want != have
}

// resize decides about a running container whose amounts differ from those that it was given: it is brought to them as it runs,
// unless its resize policy wants it started anew, which restart reports.
func (v View) resize(a *Actions, c *corev1.Container, s *runtime.Container) (restart bool) {
	want, have, differ := v.changed(c)
	if !differ {
		return false
	}
	memory := want.MemoryLimit != have.MemoryLimit || want.MemoryRequest != have.MemoryRequest
	cpu := want.CPULimit != have.CPULimit || want.CPURequest != have.CPURequest
	if memory && restartsFor(c, corev1.ResourceMemory) || cpu && restartsFor(c, corev1.ResourceCPU) {
		a.Kill = append(a.Kill, Kill{Id: s.ID, Name: c.Name, Message: fmt.Sprintf("Container %s resize requires restart", c.Name)})
		a.Resize.Pod = true
		return true
	}
	u := Update{ID: s.ID, Container: c, Want: want, Have: have}
	if memory {
		a.Resize.Memory = insert(a.Resize.Memory, u, want.MemoryLimit, have.MemoryLimit, want.MemoryRequest, have.MemoryRequest)
	}
	if cpu {
		a.Resize.CPU = insert(a.Resize.CPU, u, want.CPULimit, have.CPULimit, want.CPURequest, have.CPURequest)
	}
	return false
}

// insert puts an update that takes something away before the others, so that the pod's group has room for those that add; the limit
// decides, or the request where the limit stays.
func insert(list []Update, u Update, wantLimit, haveLimit, wantRequest, haveRequest int64) []Update {
	less := wantLimit < haveLimit
	if wantLimit == haveLimit {
		less = wantRequest < haveRequest
	}
	if less {
		return append([]Update{u}, list...)
	}
	return append(list, u)
}

func restartsFor(c *corev1.Container, name corev1.ResourceName) bool {
	for _, p := range c.ResizePolicy {
		if p.ResourceName == name {
			return p.RestartPolicy == corev1.RestartContainer
		}
	}
	return false
}

// resizePod adds what of the pod as a whole is to change once it is known which containers are started.
func (v View) resizePod(a *Actions) {
	if v.Actuated == nil {
		return
	}
	a.Resize.PodLevel = allocation.AmountsOf(v.Pod.Spec.Resources) != allocation.AmountsOf(v.Actuated.PodLevelResources)
	for _, i := range a.Main {
		if _, _, differ := v.changed(&v.Pod.Spec.Containers[i]); differ {
			a.Resize.Pod = true
		}
	}
}

// Resizing reports whether anything of a pod that runs is held to other amounts than it was given.
func Resizing(v View) bool {
	if v.Actuated == nil {
		return false
	}
	differs := func(list []corev1.Container) bool {
		for i := range list {
			c := &list[i]
			if s := v.Obs.Container(c.Name); s == nil || s.State != runtime.Running {
				continue // it is made to the right amounts when it is started
			}
			if _, _, differ := v.changed(c); differ {
				return true
			}
		}
		return false
	}
	if differs(v.Pod.Spec.InitContainers) || differs(v.Pod.Spec.Containers) {
		return true
	}
	was, is := v.Actuated.PodLevelResources, v.Pod.Spec.Resources
	return was != nil && is != nil && allocation.AmountsOf(is) != allocation.AmountsOf(was)
}
