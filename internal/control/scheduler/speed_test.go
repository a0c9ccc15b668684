package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// alikeWith places pods that are alike one after the other, each with what change gives it.
func alikeWith(b *testing.B, nodes int, change func(*corev1.Pod)) {
	p := defaultProfile()
	s, alike, dice := newSnapshot(p), newRankings(p), rand.New(rand.NewPCG(1, 1))
	for i := range nodes {
		name := fmt.Sprint(i)
		n := testNode(name, "3200", "25600Gi", label(corev1.LabelTopologyZone, fmt.Sprint(i%10)), label(corev1.LabelHostname, name))
		n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("11000")
		s.setNode(n.Name, n)
	}
	place := func(i int) {
		pod := p.newPod(testPod(fmt.Sprint(i), "100m", "100Mi", change))
		if out := alike.place(pod, s, dice); out.node != "" {
			s.addPod(out.node, pod)
		}
	}
	for i := range 1000 {
		place(i)
	}
	b.ReportAllocs()
	i := 1000
	for b.Loop() {
		place(i)
		i++
	}
}

// One cycle for one of many pods that are alike and keep away from, or spread beside, each other.
func BenchmarkTopology(b *testing.B) {
	app := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}
	spread := func(key string, when corev1.UnsatisfiableConstraintAction) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
				MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: when, LabelSelector: app,
			})
		}
	}
	sorts := map[string]func(*corev1.Pod){
		"plain": func(*corev1.Pod) {},
		"anti-affinity": func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: app}},
			}}
		},
		"preferred anti-affinity": func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
				PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname, LabelSelector: app}}},
			}}
		},
		"affinity to a zone": func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelTopologyZone, LabelSelector: app}},
			}}
		},
		"spread over zones": spread(corev1.LabelTopologyZone, corev1.DoNotSchedule),
		"spread over hosts": spread(corev1.LabelHostname, corev1.DoNotSchedule),
		"spread softly": func(p *corev1.Pod) {
			spread(corev1.LabelTopologyZone, corev1.ScheduleAnyway)(p)
			spread(corev1.LabelHostname, corev1.ScheduleAnyway)(p)
		},
	}
	for _, nodes := range []int{1000, 5000, 20000} {
		for name, change := range sorts {
			b.Run(fmt.Sprint(name, "/", nodes), func(b *testing.B) {
				alikeWith(b, nodes, func(p *corev1.Pod) {
					p.Labels = map[string]string{"app": "a"}
					change(p)
				})
			})
		}
	}
}
