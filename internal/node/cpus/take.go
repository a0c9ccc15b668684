package cpus

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/utils/cpuset"
)

// taker takes CPUs out of those that are free until it has enough. It lives for one request.
type taker struct {
	m     *machine
	free  layout
	need  int
	taken cpuset.CPUSet

	outer, inner level // NUMA nodes and sockets, that first of which the machine has fewer
	spread       bool  // single CPUs of different cores rather than whole cores
	uncore       bool  // keep together what shares a cache
}

func (m *machine) taker(free cpuset.CPUSet, n int, spread bool) *taker {
	t := &taker{m: m, free: m.only(free), need: n, taken: cpuset.New(), outer: bySocket, inner: byNode, spread: spread}
	if len(m.ids(bySocket)) >= m.nodes {
		t.outer, t.inner = byNode, bySocket
	}
	return t
}

// take is the best fit: the largest things that are free and not more than is needed, then what is left of others. Of things that
// are alike it takes the one with the fewest free CPUs, so that large ones stay whole.
func (m *machine) take(free cpuset.CPUSet, n int, spread, uncore bool) (cpuset.CPUSet, error) {
	t := m.taker(free, n, spread)
	switch {
	case n < 1:
		return t.taken, nil
	case n > len(t.free):
		return cpuset.New(), fmt.Errorf("not enough cpus available to satisfy request: requested=%d, available=%d", n, free.Size())
	}
	steps := []func(){t.whole(t.outer), t.whole(t.inner)}
	if uncore {
		steps = append(steps, t.caches)
	}
	if !spread {
		steps = append(steps, t.whole(byCore))
	}
	for _, step := range append(steps, t.rest) {
		if step(); t.need < 1 {
			return t.taken, nil
		}
	}
	return cpuset.New(), errors.New("failed to allocate cpus")
}

func (t *taker) add(cpus cpuset.CPUSet) {
	t.taken = t.taken.Union(cpus)
	t.free = t.free.only(t.free.cpus().Difference(t.taken))
	t.need -= cpus.Size()
}

// whole takes things of a level that are wholly free, as long as they are not larger than what is needed.
func (t *taker) whole(by level) func() {
	return func() {
		var free []int
		for _, id := range t.sorted(by) {
			if t.free.in(by, id).Size() == t.size(by, id) {
				free = append(free, id)
			}
		}
		for _, id := range free {
			if cpus := t.m.in(by, id); t.need >= cpus.Size() {
				t.add(cpus)
			}
		}
	}
}

// size is how many CPUs one thing of a level has when all are free. Sockets and cores are taken to be alike.
func (t *taker) size(by level, id int) int {
	switch by {
	case bySocket:
		return t.m.perSocket
	case byCore:
		return t.m.perCore
	}
	return t.m.in(by, id).Size()
}

// caches takes whole caches while as much is needed, then the rest of one that is large enough.
func (t *taker) caches() {
	for _, id := range t.sorted(byUncore) {
		if t.need >= t.m.perCache {
			t.whole(byUncore)()
		}
		if t.need < 1 {
			return
		}
		if t.partOf(id); t.need < 1 {
			return
		}
	}
}

// partOf takes what is needed of one cache, by whole cores but for an odd last CPU, if it has that much.
func (t *taker) partOf(cache int) {
	cores := t.free.idsIn(byCore, byUncore, cache)
	cores = cores[:min(len(cores), (t.need+t.m.perCore-1)/t.m.perCore)]
	cpus := t.free.in(byCore, cores...).List()
	if t.need%2 != 0 && t.m.perCore > 1 && len(cpus) > t.need {
		cpus = cpus[:len(cpus)-1]
	}
	if len(cpus) == t.need {
		t.add(cpuset.New(cpus...))
	}
}

// rest takes CPU by CPU.
func (t *taker) rest() {
	by := byCore
	if t.spread {
		by = bySocket
	}
	var cpus []int
	for _, id := range t.sorted(by) {
		cpus = append(cpus, t.free.in(by, id).List()...)
	}
	for _, cpu := range cpus[:min(len(cpus), t.need)] {
		t.add(cpuset.New(cpu))
	}
}

// sorted are the things of a level that have free CPUs: those with the fewest first, but what lies in one thing of the level
// above stays together, and these come by the same rule.
func (t *taker) sorted(by level) []int {
	switch by {
	case t.outer:
		return t.fewest(by, t.free.ids(by))
	case t.inner:
		return t.within(by, t.outer)
	case byUncore:
		return t.within(by, byNode)
	}
	return t.within(by, t.inner)
}

func (t *taker) within(by, above level) []int {
	var out []int
	for _, id := range t.sorted(above) {
		out = append(out, t.fewest(by, t.free.idsIn(by, above, id))...)
	}
	return out
}

// fewest sorts things of a level by how many free CPUs they have, then by number.
func (t *taker) fewest(by level, ids []int) []int {
	size := map[int]int{}
	for _, c := range t.free {
		size[by.of(c)]++
	}
	slices.SortFunc(ids, func(a, b int) int {
		if d := size[a] - size[b]; d != 0 {
			return d
		}
		return a - b
	})
	return ids
}
