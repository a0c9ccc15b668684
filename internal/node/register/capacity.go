package register

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

// Resources says what a node has and what of it is kept from pods.
type Resources struct {
	MaxPods                      int64
	RootDir                      string              // on the file system whose size is the ephemeral storage
	Capacity                     corev1.ResourceList // in place of what the machine has
	SystemReserved, KubeReserved corev1.ResourceList
	EvictionHard                 map[string]string // thresholds, as the flag has them: what they keep free is reserved too
}

// capacity reads what the machine has.
func (r *Resources) capacity() corev1.ResourceList {
	list := corev1.ResourceList{
		corev1.ResourcePods:             *resource.NewQuantity(r.MaxPods, resource.DecimalSI),
		corev1.ResourceCPU:              *resource.NewQuantity(int64(goruntime.NumCPU()), resource.DecimalSI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(0, resource.BinarySI),
	}
	maps.Copy(list, hugePages(hugePagesDir))
	if mem, ok := evict.Read("memory.available", ""); ok {
		list[corev1.ResourceMemory] = *resource.NewQuantity(mem.Capacity, resource.BinarySI)
	}
	var st unix.Statfs_t
	if unix.Statfs(r.RootDir, &st) == nil {
		list[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(st.Blocks)*st.Bsize, resource.BinarySI)
	}
	maps.Copy(list, r.Capacity)
	return list
}

const hugePagesDir = "/sys/kernel/mm/hugepages"

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

// PageSizes are the sizes of huge pages that the kernel knows, in bytes, whether there are any or not.
func PageSizes() (out []int64) {
	for name := range hugePages(hugePagesDir) {
		if size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix)); err == nil {
			out = append(out, size.Value())
		}
	}
	slices.Sort(out)
	return out
}

// trimmed is the text of a small file, "" when it cannot be read.
func trimmed(path string) string {
	b, _ := os.ReadFile(path)
	return strings.TrimSpace(string(b))
}

// reserved is what is kept from pods: for the system, for the kubelet, and by the hard eviction thresholds.
func (r *Resources) reserved(capacity corev1.ResourceList) (corev1.ResourceList, error) {
	thresholds, err := evict.Reserved(r.EvictionHard, capacity)
	out := corev1.ResourceList{}
	for _, list := range []corev1.ResourceList{r.SystemReserved, r.KubeReserved, thresholds} {
		for name, q := range list {
			pods.AddQuantity(out, name, q)
		}
	}
	return out, err
}

// check refuses to reserve more than there is, in upstream's words.
func (r *Resources) check(capacity corev1.ResourceList) error {
	reserved, err := r.reserved(capacity)
	if err != nil {
		return err
	}
	var trouble []string
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

// allocatable is what pods may use in sum: the capacity less what is reserved; of memory also less what is set aside as huge
// pages, which pods ask for by their own names.
func (r *Resources) allocatable(capacity corev1.ResourceList) corev1.ResourceList {
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
	reserved, _ := r.reserved(capacity) // check has seen errors
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
