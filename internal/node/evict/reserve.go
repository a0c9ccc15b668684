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
		t, err := parse(text)
		if err != nil {
			return nil, err
		}
		have := capacity[name]
		out[name] = *resource.NewQuantity(t.of(have.Value()), resource.BinarySI)
	}
	return out, nil
}

// of is the threshold as an amount. Percentages are kept in 32 bits, as upstream keeps them: their last digits show.
func (t threshold) of(capacity int64) int64 {
	if t.percent > 0 {
		return int64(float64(capacity) * float64(t.percent))
	}
	return t.amount
}
