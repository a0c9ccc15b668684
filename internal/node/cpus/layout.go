package cpus

import (
	"maps"
	"slices"

	"sampan.dev/internal/node/hardware"

	"k8s.io/utils/cpuset"
)

// layout is some of the CPUs of a machine, with what each belongs to.
type layout map[int]hardware.CPU

// level is a kind of thing that CPUs belong to.
type level uint8

const (
	byNode level = iota
	bySocket
	byCore
	byUncore
)

// of is the number of the thing that a CPU is part of.
func (by level) of(c hardware.CPU) int {
	switch by {
	case byNode:
		return c.Node
	case bySocket:
		return c.Socket
	case byCore:
		return c.Core
	}
	return c.Uncore
}

// cpus are all of them.
func (l layout) cpus() cpuset.CPUSet { return cpuset.New(slices.Collect(maps.Keys(l))...) }

// only is what l has of the given CPUs.
func (l layout) only(cpus cpuset.CPUSet) layout {
	out := make(layout, cpus.Size())
	for cpu, c := range l {
		if cpus.Contains(cpu) {
			out[cpu] = c
		}
	}
	return out
}

// in are the CPUs that belong to one of the given things of a level.
func (l layout) in(by level, ids ...int) cpuset.CPUSet {
	var out []int
	for cpu, c := range l {
		if slices.Contains(ids, by.of(c)) {
			out = append(out, cpu)
		}
	}
	return cpuset.New(out...)
}

// ids are the things of a level that any of the CPUs belong to, in order.
func (l layout) ids(by level) []int {
	var out []int
	for _, c := range l {
		out = append(out, by.of(c))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// idsIn are the things of a level that CPUs of one thing of another level belong to, in order.
func (l layout) idsIn(by, outer level, id int) []int {
	var out []int
	for _, c := range l {
		if outer.of(c) == id {
			out = append(out, by.of(c))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// machine is the layout of all CPUs and the sizes that follow from it.
type machine struct {
	layout
	nodes                        int
	perCore, perSocket, perCache int // CPUs, on average
}

func newMachine(m *hardware.Machine) *machine {
	out := &machine{layout: layout(m.CPUs), perCore: 1, perSocket: 1, perCache: 1}
	out.nodes = len(out.ids(byNode))
	out.perCore = len(m.CPUs) / max(1, m.Cores)
	out.perSocket = len(m.CPUs) / max(1, m.Sockets)
	out.perCache = len(m.CPUs) / max(1, len(out.ids(byUncore)))
	return out
}
