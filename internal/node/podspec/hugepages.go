package podspec

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// HugePages are the limits of a container's huge pages: none of a size that neither it nor its pod asks for. sizes are those that the
// kernel knows, in bytes.
func HugePages(pod *corev1.Pod, c *corev1.Container, sizes []int64) []*cri.HugepageLimit {
	limits := map[string]uint64{}
	for _, size := range sizes {
		limits[unit(size)] = 0
	}
	read := func(list corev1.ResourceList) {
		for name, q := range list {
			text, ok := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix)
			if size, err := resource.ParseQuantity(text); ok && err == nil {
				limits[unit(size.Value())] = uint64(q.Value())
			}
		}
	}
	if r := pod.Spec.Resources; r != nil {
		read(r.Limits)
	}
	read(c.Resources.Limits)
	var out []*cri.HugepageLimit
	for _, size := range slices.Sorted(maps.Keys(limits)) {
		out = append(out, &cri.HugepageLimit{PageSize: size, Limit: limits[size]})
	}
	return out
}

// PodHugePages are the limits of a pod's huge pages by the kernel's names of their sizes: none of a size of which the pod requests none.
func PodHugePages(pod *corev1.Pod, sizes []int64) map[string]int64 {
	limits := map[string]int64{}
	for _, size := range sizes {
		limits[unit(size)] = 0
	}
	for name, q := range resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}) {
		text, ok := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix)
		if size, err := resource.ParseQuantity(text); ok && err == nil {
			limits[unit(size.Value())] = q.Value()
		}
	}
	return limits
}

// unit names a size as control groups do: "2MB", "1GB".
func unit(bytes int64) string {
	names := []string{"B", "KB", "MB", "GB", "TB", "PB"}
	i := 0
	for bytes >= 1024 && i < len(names)-1 {
		bytes /= 1024
		i++
	}
	return resource.NewQuantity(bytes, resource.DecimalSI).String() + names[i]
}
