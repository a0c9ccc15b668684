package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

func pinnedTo(node string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}},
		}}}
	}
}

// A pod that is pinned to a node goes where a look at all nodes puts it, and is refused for the same reasons; a profile that does
// not ask about affinity is not bound by it.
func TestPinnedPods(t *testing.T) {
	p, dice := defaultProfile(), rand.New(rand.NewPCG(1, 1))
	s, alike := newSnapshot(p), newRankings(p)
	for i := range 5 {
		s.setNode(fmt.Sprint("n", i), testNode(fmt.Sprint("n", i), "2", "2Gi"))
	}
	s.setNode("closed", testNode("closed", "2", "2Gi", taint("k", corev1.TaintEffectNoSchedule)))
	s.addPod("n3", p.newPod(testPod("full", "2", "")))
	for _, node := range []string{"n0", "n3", "n4", "closed", "gone"} {
		pod := p.newPod(testPod("pod-"+node, "1", "", pinnedTo(node)))
		got, want := alike.place(pod, s, dice), p.cycle(pod, s, dice)
		if got.node != want.node || got.text != want.text || (node == "n0") != (got.node == "n0") {
			t.Errorf("%s: on %q (%s), looking at all on %q (%s)", node, got.node, got.text, want.node, want.text)
		}
	}
	free := newProfile(Profile{Filters: []plugin.Filter{plugin.NodeName{}}})
	s = newSnapshot(free)
	s.setNode("other", testNode("other", "2", "2Gi"))
	if out := newRankings(free).place(free.newPod(testPod("p", "", "", pinnedTo("n0"))), s, dice); out.node != "other" {
		t.Errorf("on %q: %s", out.node, out.text)
	}
}
