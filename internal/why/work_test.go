package why

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// many is nodes with so many pods each, and a pod that fits on none of them.
func many(nodes, each int) (*corev1.Pod, []*corev1.Node, []*corev1.Pod) {
	var all []*corev1.Node
	var on []*corev1.Pod
	for i := range nodes {
		name := fmt.Sprintf("n%05d", i)
		all = append(all, node(name, func(n *corev1.Node) { n.Status.Allocatable = list("4", "32Gi", "110") }))
		for j := range each {
			on = append(on, pod(fmt.Sprintf("p%05d-%d", i, j), name, asks("100m", "500Mi")))
		}
	}
	return pod("big", "", asks("64", "1Gi")), all, on
}

// The work for a pod without a node grows with the nodes and with the pods on them, and not with their product: what is allocated for ten
// times as many of both is at most twelve times as much.
func TestPlaceIsBounded(t *testing.T) {
	work := func(nodes int) float64 {
		p, all, on := many(nodes, 20)
		return testing.AllocsPerRun(1, func() {
			if got := place(p, all, on); len(got) != nodes || got[0].Plugin != "NodeResourcesFit" {
				t.Errorf("%d answers: %+v", len(got), got[0])
			}
		})
	}
	few, more := work(500), work(5000)
	t.Logf("%.0f allocations for 500 nodes, %.0f for 5,000", few, more)
	if more > 12*few {
		t.Errorf("%.0f allocations for 5,000 nodes, %.0f for 500", more, few)
	}
	if perPod := more / (5000 * 21); perPod > 4 {
		t.Errorf("%.1f allocations a node or pod, at most 4", perPod)
	}
}

func BenchmarkPlace(b *testing.B) {
	p, all, on := many(5000, 20)
	b.ReportAllocs()
	for b.Loop() {
		place(p, all, on)
	}
}
