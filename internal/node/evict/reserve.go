package evict

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// reserves are the signals whose hard thresholds keep something from pods, and what: a pod could only ever use it by being
// evicted. Upstream has no others; the file system of images keeps nothing.
var reserves = map[string]corev1.ResourceName{
	"memory.available": corev1.ResourceMemory,
	"nodefs.available": corev1.ResourceEphemeralStorage,
}

// Reserved is what hard thresholds keep free of a node's capacity: quantities, or percentages of it.
func Reserved(thresholds map[string]string, capacity corev1.ResourceList) (corev1.ResourceList, error) {
	out := corev1.ResourceList{}
	for signal, name := range reserves {
		text, ok := thresholds[signal]
		if !ok {
			continue
		}
		t, set, err := readThreshold(signal, text)
		if err != nil {
			return nil, err
		}
		if !set {
			continue
		}
		have := capacity[name]
		out[name] = *resource.NewQuantity(t.of(have.Value()), resource.BinarySI)
	}
	return out, nil
}
