package scheduler

import (
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// A nominated pod takes its node as soon as it fits there, however much better another one looks by now.
func TestNominatedNodeComesFirst(t *testing.T) {
	p := defaultProfile()
	s, alike, dice := newSnapshot(p), newRankings(p), rand.New(rand.NewPCG(1, 1))
	s.setNode("small", testNode("small", "1", "1Gi"))
	pod := p.newPod(testPod("p", "1", ""))
	s.addPod("small", p.newPod(testPod("victim", "1", "")))
	s.nominated.set(pod, "small")
	if out := alike.place(pod, s, dice); out.node != "" {
		t.Fatalf("on %q while the victim is there", out.node)
	}
	s.setNode("large", testNode("large", "64", "64Gi"))
	s.removePod("victim")
	if out := alike.place(pod, s, dice); out.node != "small" {
		t.Errorf("on %q, want the nominated node", out.node)
	}
	s.nominated.drop(pod.UID)
	if out := alike.place(pod, s, dice); out.node != "large" {
		t.Errorf("on %q without a nomination, want the better node", out.node)
	}
}

// What a PostFilter supposes is supposed of the indexes too, and leaves nothing behind in them.
func TestWithoutPutsBack(t *testing.T) {
	index := newAtMost(2, "zone")
	p := newProfile(Profile{Filters: []plugin.Filter{index}})
	s := newSnapshot(p)
	s.setNode("n", testNode("n", "4", "4Gi", label("zone", "1")))
	app := func(name string) *plugin.Pod {
		return p.newPod(testPod(name, "", "", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "a"} }))
	}
	victim := app("victim")
	s.addPod("n", victim)
	s.addPod("n", app("other"))
	without := p.without(app("p"), s)
	for range 2 {
		if without(s.byName["n"], nil).Fits() || !without(s.byName["n"], []*plugin.Pod{victim}).Fits() {
			t.Error("the pod fits just without the victim, and that is not what is said")
		}
		index.recount(t, s)
	}
}
