package scheduler

import (
	"math/rand/v2"

	"sampan.dev/internal/control/scheduler/plugin"
)

// A class is worth a look at every node once a second pod of it comes. Those used longest ago are dropped.
const (
	worthwhile  = 2
	mostClasses = 64
)

// classes chooses nodes for pods. It belongs to the scheduler's goroutine.
type classes struct {
	profile *profile
	byName  map[string]*class
	cycles  uint64
}

func newClasses(p *profile) *classes { return &classes{profile: p, byName: map[string]*class{}} }

// place decides where pod should run: by its class, if there are more pods like it, or on its own.
func (cs *classes) place(pod *plugin.Pod, s *snapshot, dice *rand.Rand) outcome {
	cs.cycles++
	c := cs.of(pod)
	if c == nil || c.uses < worthwhile && !c.built {
		return cs.profile.cycle(pod, s, dice)
	}
	if node := c.choose(s, dice); node != "" {
		return outcome{node: node, nodes: len(s.nodes), evaluated: len(s.nodes)}
	}
	return c.outcome(s)
}

// of returns the pod's class, nil for pods that are like no other.
func (cs *classes) of(pod *plugin.Pod) *class {
	if pod.Class == "" {
		return nil
	}
	c := cs.byName[pod.Class]
	if c == nil {
		if len(cs.byName) >= mostClasses {
			cs.drop()
		}
		c = &class{profile: cs.profile, pod: pod}
		cs.byName[pod.Class] = c
	}
	c.uses++
	c.used = cs.cycles
	return c
}

func (cs *classes) drop() {
	var oldest *class
	for _, c := range cs.byName {
		if oldest == nil || c.used < oldest.used {
			oldest = c
		}
	}
	delete(cs.byName, oldest.pod.Class)
}
