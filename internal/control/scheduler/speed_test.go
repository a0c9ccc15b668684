package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// speedCluster has so many nodes, each with room for thousands of pods.
func speedCluster(p *profile, nodes int) *snapshot {
	s := newSnapshot(p)
	for i := range nodes {
		n := testNode(fmt.Sprint(i), "3200", "25600Gi", label("zone", fmt.Sprint(i%3)))
		n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("11000")
		s.setNode(n.Name, n)
	}
	return s
}

// One cycle for one of many pods that are alike, with what is worked out of the pod when it comes, and its placement.
func BenchmarkAlike(b *testing.B) {
	p := defaultProfile()
	s, alike, dice := speedCluster(p, 5000), newRankings(p), rand.New(rand.NewPCG(1, 1))
	place := func(i int) {
		pod := p.newPod(testPod(fmt.Sprint(i), "100m", "100Mi"))
		s.addPod(alike.place(pod, s, dice).node, pod)
	}
	for i := range 5000 {
		place(i)
	}
	b.ReportAllocs()
	i := 5000
	for b.Loop() {
		place(i)
		i++
	}
}

// One cycle that looks at nodes one by one.
func BenchmarkOneByOne(b *testing.B) {
	p := defaultProfile()
	s, dice := speedCluster(p, 5000), rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		pod := p.newPod(testPod(fmt.Sprint(i), "100m", "100Mi"))
		s.addPod(p.cycle(pod, s, dice).node, pod)
		i++
	}
}

// The look at all nodes that the second pod of a sort costs.
func BenchmarkFirstLook(b *testing.B) {
	p := defaultProfile()
	s, dice := speedCluster(p, 5000), rand.New(rand.NewPCG(1, 1))
	pod := p.newPod(testPod("p", "100m", "100Mi"))
	b.ReportAllocs()
	for b.Loop() {
		(&ranking{profile: p, pod: pod}).choose(s, dice)
	}
}

// What is worked out of a pod when it comes.
func BenchmarkNewPod(b *testing.B) {
	p, obj := defaultProfile(), testPod("p", "100m", "100Mi", selector("zone", "1"))
	b.ReportAllocs()
	for b.Loop() {
		p.newPod(obj)
	}
}
