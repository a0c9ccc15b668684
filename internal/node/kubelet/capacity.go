package kubelet

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/evict"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// capacity is what the machine has. It is read once: machines do not grow under a kubelet.
func (k *Kubelet) capacity() corev1.ResourceList {
	k.capacityOnce.Do(func() {
		list := corev1.ResourceList{
			corev1.ResourcePods:             *resource.NewQuantity(k.cfg.MaxPods, resource.DecimalSI),
			corev1.ResourceCPU:              *resource.NewQuantity(int64(goruntime.NumCPU()), resource.DecimalSI),
			corev1.ResourceEphemeralStorage: *resource.NewQuantity(0, resource.BinarySI),
		}
		maps.Copy(list, hugePages("/sys/kernel/mm/hugepages"))
		if mem, ok := evict.Read("memory.available", ""); ok {
			list[corev1.ResourceMemory] = *resource.NewQuantity(mem.Capacity, resource.BinarySI)
		}
		var st unix.Statfs_t
		if unix.Statfs(k.cfg.RootDir, &st) == nil {
			list[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(st.Blocks)*st.Bsize, resource.BinarySI)
		}
		maps.Copy(list, k.cfg.Capacity)
		k.capacityList = list
	})
	return k.capacityList
}

// hugePages are the huge pages set aside, by size: the kernel has a directory hugepages-2048kB for each size that it knows.
func hugePages(dir string) corev1.ResourceList {
	out := corev1.ResourceList{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		text, found := strings.CutPrefix(e.Name(), "hugepages-")
		kib, err := strconv.ParseInt(strings.TrimSuffix(text, "kB"), 10, 64)
		if !found || err != nil {
			continue
		}
		n, err := strconv.ParseInt(trimmed(filepath.Join(dir, e.Name(), "nr_hugepages")), 10, 64)
		if err != nil {
			continue
		}
		name := corev1.ResourceHugePagesPrefix + resource.NewQuantity(kib<<10, resource.BinarySI).String()
		out[corev1.ResourceName(name)] = *resource.NewQuantity(n*kib<<10, resource.BinarySI)
	}
	return out
}

// allocatable is what pods may use in sum.
func (k *Kubelet) allocatable() corev1.ResourceList {
	return allocatable(k.capacity(), k.reserved())
}

// allocatable is the capacity less what is reserved; of memory also less what is set aside as huge pages, which pods ask for by
// their own names.
func allocatable(capacity, reserved corev1.ResourceList) corev1.ResourceList {
	out := capacity.DeepCopy()
	take := func(name corev1.ResourceName, q resource.Quantity) {
		have, ok := out[name]
		if !ok {
			return
		}
		if have.Sub(q); have.Sign() < 0 {
			have.Set(0)
		}
		out[name] = have
	}
	for name, q := range reserved {
		take(name, q)
	}
	for name, q := range capacity {
		if strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) {
			take(corev1.ResourceMemory, q)
		}
	}
	return out
}

// reserved is what is kept from pods: for the system, for ourselves, and by the hard eviction thresholds.
func (k *Kubelet) reserved() corev1.ResourceList {
	out := corev1.ResourceList{}
	thresholds, _ := evict.Reserved(k.cfg.EvictionHard, k.capacity()) // checkReserved has seen errors
	for _, list := range []corev1.ResourceList{k.cfg.SystemReserved, k.cfg.KubeReserved, thresholds} {
		for name, q := range list {
			pods.AddQuantity(out, name, q)
		}
	}
	return out
}

// checkReserved refuses to reserve more than there is, in upstream's words.
func (k *Kubelet) checkReserved() error {
	capacity := k.capacity()
	if _, err := evict.Reserved(k.cfg.EvictionHard, capacity); err != nil {
		return err
	}
	var trouble []string
	reserved := k.reserved()
	for _, name := range slices.Sorted(maps.Keys(reserved)) {
		want, have := reserved[name], capacity[name]
		if _, known := capacity[name]; known && want.Cmp(have) > 0 {
			trouble = append(trouble, fmt.Sprintf("Resource %q has a reservation of %v but capacity of %v. Expected capacity >= reservation.", name, want.String(), have.String()))
		}
	}
	if len(trouble) > 0 {
		return errors.New("invalid Node Allocatable configuration. " + strings.Join(trouble, " "))
	}
	return nil
}
