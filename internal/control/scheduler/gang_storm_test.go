package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/watch"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control/scheduler/replay"
	"sampan.dev/internal/testkit"
)

// Gangs of all sizes for which there is too little room, among pods that are in none. While no scheduler is killed each gang has as many
// pods on nodes as it asks for, or none. However often one is killed, between any two bindings, no node is asked for more than it
// has, no pod is bound twice, and with room for all none is forgotten.
func TestGangStorm(t *testing.T) {
	for _, kills := range []int{0, 8} {
		t.Run(fmt.Sprint(kills, " kills"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &storm{gangs: true, dice: rand.New(rand.NewPCG(*stormSeed, 11)), seen: make(chan watch.Event, 1000), cluster: &cluster{T: t, Cluster: testkit.StartWith(t,
					testkit.Options{Gangs: true, NoScheduler: true, Controllers: []string{"serviceaccount"}})}}
				s.Go(t, "keeper", s.keep)
				s.record(client.Pods)
				s.record(client.Nodes)
				s.prepare()
				s.addNode()
				s.start(1 << 60)
				least, pods := map[string]int{}, 0
				const gangs = 40
				for i := range gangs {
					name := fmt.Sprintf("g%02d", i)
					size := 1 + s.dice.IntN(5)
					least[name] = 1 + s.dice.IntN(size)
					made := s.dice.IntN(size + 1) // before the pod of this number
					for k := range size + 1 {
						if k == made {
							s.group(name, int32(least[name]))
						}
						if k == size {
							break
						}
						s.pod(fmt.Sprintf("%s-%d", name, k), of(name), s.sized)
						pods++
					}
					s.pod(fmt.Sprintf("lone%02d", i), s.sized)
					pods++
					if s.dice.IntN(4) == 0 {
						s.addNode()
					}
					time.Sleep(time.Duration(s.dice.IntN(1000)) * time.Millisecond)
					if kills > 0 && i%(gangs/kills) == 0 {
						s.death()
						s.start(1 + s.dice.Int64N(20))
					}
				}
				s.death()
				s.start(1 << 60)
				s.pass(6 * time.Minute)
				s.judgeGangs("when all is still", least, kills == 0)
				for range pods {
					s.addNode()
				}
				s.pass(6 * time.Minute)
				for _, p := range s.judgeGangs("with room for all", least, true).Waiting() {
					t.Errorf("%s is forgotten: %s", p.Name, s.message(p.Name))
				}
			})
		})
	}
}

// sized has a pod ask for a random share of a node.
func (s *storm) sized(p *corev1.Pod) {
	p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": *resource.NewMilliQuantity(int64(1+s.dice.IntN(6))*250, resource.DecimalSI)}
}

// judgeGangs fails the test for what should not have been written and, where whole says so, for gangs of which too few pods have a node.
func (s *storm) judgeGangs(when string, least map[string]int, whole bool) *replay.Cluster {
	s.Helper()
	got := replay.Check(512, s.events)
	for _, f := range got.Faults {
		s.Errorf("%s: %s", when, f)
	}
	waits := map[string]int{}
	for _, p := range got.Waiting() {
		if g := p.Spec.SchedulingGroup; g != nil {
			waits[*g.PodGroupName]++
		}
	}
	none, all := 0, 0
	for name, n := range least {
		has := s.members(name) - waits[name]
		switch {
		case has == 0:
			none++
		case has >= n:
			all++
		case whole:
			s.Errorf("%s: %s has %d pods on nodes and asks for %d", when, name, has, n)
		}
	}
	s.Logf("%s: %d gangs are placed, %d are not, %d pods wait", when, all, none, len(got.Waiting()))
	return got
}

// members counts the pods of a gang.
func (s *storm) members(name string) (n int) {
	seen := map[string]bool{}
	for _, e := range s.events {
		if p, ok := e.Object.(*corev1.Pod); ok && p.Spec.SchedulingGroup != nil && *p.Spec.SchedulingGroup.PodGroupName == name && !seen[p.Name] {
			seen[p.Name] = true
			n++
		}
	}
	return n
}
