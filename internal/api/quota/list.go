package quota

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Equal reports whether two lists have the same resources in the same amounts.
func Equal(a, b corev1.ResourceList) bool {
	return maps.EqualFunc(a, b, func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
}

// Add returns the sums of two lists.
func Add(a, b corev1.ResourceList) corev1.ResourceList {
	out := make(corev1.ResourceList, len(a)+len(b))
	for name, q := range a {
		out[name] = q.DeepCopy()
	}
	for name, q := range b {
		sum := out[name]
		if _, ok := out[name]; ok {
			sum.Add(q)
		} else {
			sum = q.DeepCopy()
		}
		out[name] = sum
	}
	return out
}

// more returns by how much a is more than b, of each resource; those of which it is not are left out.
func more(a, b corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range a {
		rest := q.DeepCopy()
		rest.Sub(b[name])
		if rest.Sign() > 0 {
			out[name] = rest
		}
	}
	return out
}

// Mask returns what a list has of the resources of another.
func Mask(list, names corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name := range names {
		if q, ok := list[name]; ok {
			out[name] = q.DeepCopy()
		}
	}
	return out
}

// withoutZeros returns the resources of which a list has some.
func withoutZeros(list corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range list {
		if !q.IsZero() {
			out[name] = q
		}
	}
	return out
}

// one and amount are quantities of whole things.
func amount(n int64) resource.Quantity { return *resource.NewQuantity(n, resource.DecimalSI) }

// text prints a list as refusals do: "cpu=1,memory=2Gi".
func text(list corev1.ResourceList) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		out = append(out, string(name)+"="+q.String())
	}
	return strings.Join(out, ",")
}

// names prints the names of resources as refusals do.
func names(list []corev1.ResourceName) string {
	list = slices.Sorted(slices.Values(list))
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = string(n)
	}
	return strings.Join(slices.Compact(out), ",")
}
