package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"sampan.dev/internal/control/scheduler/plugin"
	"sampan.dev/internal/control/scheduler/preempt"
)

// storm is nodes that are each full of four pods of low priority, three of which make room for one of high priority.
type storm struct {
	p     *profile
	s     *snapshot
	alike *rankings
	dice  *rand.Rand
	made  int
	on    map[string][]*plugin.Pod
}

func newStorm(nodes int) *storm {
	p := defaultProfile()
	st := &storm{p: p, s: newSnapshot(p), alike: newRankings(p), dice: rand.New(rand.NewPCG(1, 1)), on: map[string][]*plugin.Pod{}}
	preemption(p).Connect(preempt.Hands{Steady: p.steady})
	for i := range nodes {
		n := testNode(fmt.Sprint(i), "4", "32Gi")
		n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("110")
		st.s.setNode(n.Name, n)
		st.fill(n.Name)
	}
	return st
}

func (st *storm) add(node string, pod *plugin.Pod) {
	st.s.addPod(node, pod)
	st.on[node] = append(st.on[node], pod)
}

func (st *storm) fill(node string) {
	for len(st.on[node]) < 4 {
		st.made++
		st.add(node, st.p.newPod(testPod(fmt.Sprint("low", st.made), "900m", "500Mi")))
	}
}

// preempt places a pod of high priority.
func (st *storm) preempt(b *testing.B) {
	st.made++
	pod := st.p.newPod(testPod(fmt.Sprint("high", st.made), "2500m", "500Mi", prio(10)))
	out := st.alike.place(pod, st.s, st.dice)
	if out.node != "" {
		b.Fatalf("%s fits on %s", pod.Name, out.node)
	}
	found := preemption(st.p).PostFilter(pod, out.resolvable, st.p.without(pod, st.s))
	if found.Node == "" {
		b.Fatalf("%s: %s", pod.Name, found.Message)
	}
	st.s.nominated.set(pod, found.Node)
	for range 3 { // stands in for the evictions
		st.s.removePod(st.on[found.Node][0].UID)
		st.on[found.Node] = st.on[found.Node][1:]
	}
	if out := st.alike.place(pod, st.s, st.dice); out.node != found.Node {
		b.Fatalf("%s was nominated for %s and comes to %q", pod.Name, found.Node, out.node)
	}
	st.s.nominated.drop(pod.UID)
	st.add(found.Node, pod)
}

// One decision of preemption: the cycle that fails, the choice of victims and, when they have gone, the cycle that finds their place.
func BenchmarkPreempt(b *testing.B) {
	for _, nodes := range []int{1000, 5000, 20000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			st := newStorm(nodes)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				st.preempt(b)
				if i++; i%(nodes/2) == 0 {
					b.StopTimer()
					for node, pods := range st.on {
						if len(pods) == 2 {
							st.s.removePod(pods[1].UID)
							st.on[node] = pods[:1]
							st.fill(node)
						}
					}
					b.StartTimer()
				}
			}
		})
	}
}
