package register

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// devices are what device plugins add to a node.
type devices struct {
	capacity, allocatable corev1.ResourceList
	gone                  []string
}

// withDevices adds to what the machine has, and pods may use of it, what plugins have. Extended resources that the last status names and no
// plugin has were put there by somebody else, and stay. What is gone is told as none, so that whoever counts on it sees that.
func withDevices(capacity, allocatable, last corev1.ResourceList, d devices) (all, usable corev1.ResourceList) {
	all, usable = capacity.DeepCopy(), allocatable.DeepCopy()
	for name, q := range last {
		if extended(name) {
			all[name], usable[name] = q, q
		}
	}
	maps.Copy(all, d.capacity)
	maps.Copy(usable, d.allocatable)
	for _, name := range d.gone {
		zero := resource.NewQuantity(0, resource.DecimalSI)
		all[corev1.ResourceName(name)], usable[corev1.ResourceName(name)] = *zero, *zero
	}
	return all, usable
}

// extended reports whether a resource is not Kubernetes' own.
func extended(name corev1.ResourceName) bool {
	domain, _, ok := strings.Cut(string(name), "/")
	return ok && !strings.Contains(domain, "kubernetes.io")
}
