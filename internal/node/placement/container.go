package placement

import (
	"context"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Prepare puts into a container's description what it was given: CPUs, NUMA nodes and what its devices need. It is called each time
// the container is made.
func (p *Placement) Prepare(ctx context.Context, pod *corev1.Pod, c *corev1.Container, cfg *cri.ContainerConfig) error {
	res := cfg.Linux.Resources
	if p.cpus != nil {
		own, alone := p.cpus.CPUs(pod.UID, c.Name)
		if res.CpusetCpus = own.String(); alone && res.CpuQuota > 0 {
			res.CpuQuota = -1 // it cannot use more than its CPUs
		}
	}
	if p.memory != nil {
		p.memory.Ended(pod, c)
		res.CpusetMems = list(p.memory.Nodes(pod.UID, c.Name))
	}
	needs, err := p.devices.Prepare(ctx, pod, c)
	if err != nil || needs == nil {
		return err
	}
	cfg.Envs = append(needs.Envs, cfg.Envs...) // of two with one name the later counts: the pod's
	cfg.Mounts = append(needs.Mounts, cfg.Mounts...)
	cfg.Devices = append(needs.Devices, cfg.Devices...)
	cfg.CDIDevices = append(cfg.CDIDevices, needs.CDI...)
	for key, value := range needs.Annotations {
		if cfg.Annotations == nil {
			cfg.Annotations = map[string]string{}
		}
		if _, taken := cfg.Annotations[key]; !taken {
			cfg.Annotations[key] = value
		}
	}
	return nil
}

func list(ids []int) string {
	var out []string
	for _, id := range ids {
		out = append(out, strconv.Itoa(id))
	}
	return strings.Join(out, ",")
}

// atLeast raises quantities to the given numbers.
func atLeast(list corev1.ResourceList, numbers map[string]int) corev1.ResourceList {
	out := list.DeepCopy()
	if out == nil {
		out = corev1.ResourceList{}
	}
	for name, n := range numbers {
		if q := out[corev1.ResourceName(name)]; q.Value() < int64(n) {
			out[corev1.ResourceName(name)] = *resource.NewQuantity(int64(n), resource.DecimalSI)
		}
	}
	return out
}
