package cpus

import (
	"fmt"
	"math"
	"slices"

	"k8s.io/utils/cpuset"
)

// distribution looks for the NUMA nodes over which a request is spread evenly. It lives for one request.
type distribution struct {
	t        *taker
	n        int   // CPUs asked for
	group    int   // CPUs are given out in groups of this size, which all belong to one core
	nodes    []int // that have free CPUs
	bySocket bool  // nodes of one socket are better than nodes of several
}

// takeEvenly takes CPUs from as few NUMA nodes as can give equal shares, in groups; of sets of nodes that do, from the one after
// which the machine's nodes have free CPUs as equally as possible. What is left over when the shares are whole groups comes from
// some of these nodes. Where no nodes can, or n is no whole number of groups, it takes as take does.
func (m *machine) takeEvenly(free cpuset.CPUSet, n, group int, spread, bySocket bool) (cpuset.CPUSet, error) {
	if n%group != 0 {
		return m.take(free, n, spread, false)
	}
	t := m.taker(free, n, spread)
	switch {
	case n < 1:
		return t.taken, nil
	case n > len(t.free):
		return cpuset.New(), fmt.Errorf("not enough cpus available to satisfy request: requested=%d, available=%d", n, free.Size())
	}
	d := &distribution{t: t, n: n, group: group, nodes: t.sorted(byNode), bySocket: bySocket}
	groups := (n-1)/group + 1
	perNode := ((len(m.layout)-1)/group)/m.nodes + 1
	for k := (groups-1)/perNode + 1; k <= min(groups, len(d.nodes)); k++ {
		if c := d.best(k); c != nil {
			return d.from(c)
		}
	}
	return m.take(free, n, spread, false)
}

// choice is a set of nodes to take from.
type choice struct {
	nodes, rest []int   // rest gives one group more each, as long as something is missing
	balance     float64 // how unequal the free CPUs of all nodes are afterwards
	oneSocket   bool
}

// best of the choices of k nodes; nil when none will do.
func (d *distribution) best(k int) (best *choice) {
	combinations(d.nodes, k, func(nodes []int) bool {
		if best != nil && best.balance == 0 && (!d.bySocket || best.oneSocket) {
			return false
		}
		c := d.consider(nodes)
		switch {
		case c == nil:
		case best == nil:
			best = c
		case d.bySocket && c.oneSocket != best.oneSocket:
			if c.oneSocket {
				best = c
			}
		case c.balance < best.balance:
			best = c
		}
		return true
	})
	return best
}

// consider works out what comes of taking from these nodes.
func (d *distribution) consider(nodes []int) *choice {
	groups := 0
	for _, node := range nodes {
		groups += d.count(node) / d.group
	}
	if groups*d.group < d.n {
		return nil
	}
	share := d.share(nodes, d.bySocket)
	left := map[int]int{}
	for _, node := range d.nodes {
		left[node] = d.count(node)
	}
	for _, node := range nodes {
		if left[node] -= share; left[node] < 0 {
			return nil
		}
	}
	c := &choice{nodes: slices.Clone(nodes), balance: math.MaxFloat64}
	c.oneSocket = d.bySocket && len(d.sockets(nodes)) <= 1
	rest := d.n - share*len(nodes)
	if rest == 0 {
		c.balance = d.unequal(left)
		return c
	}
	d.handOut(c, left, rest)
	if c.rest == nil {
		return nil
	}
	return c
}

// handOut finds the nodes that give what is missing after equal shares: those after which the free CPUs are the most equal and, of
// such as come out the same, the most nodes. left is what each node has.
func (d *distribution) handOut(c *choice, left map[int]int, rest int) {
	var able []int
	for _, node := range c.nodes {
		if left[node] >= d.group {
			able = append(able, node)
		}
	}
	for k := len(able); k >= 1; k-- {
		combinations(able, k, func(nodes []int) bool {
			after, sum := map[int]int{}, 0
			for node, n := range left {
				after[node] = n
			}
			for _, node := range nodes {
				sum += after[node] / d.group * d.group
			}
			if sum < rest {
				return true
			}
			d.inTurn(nodes, rest, func(node int) bool {
				if after[node] < d.group {
					return false
				}
				after[node] -= d.group
				return true
			})
			if balance := d.unequal(after); balance < c.balance {
				c.balance, c.rest = balance, slices.Clone(nodes)
			}
			return true
		})
	}
}

// inTurn calls give for one node after the other until it has given what is missing, group by group.
func (d *distribution) inTurn(nodes []int, missing int, give func(node int) bool) {
	for missing > 0 {
		for _, node := range nodes {
			if missing > 0 && give(node) {
				missing -= d.group
			}
		}
	}
}

// from takes the CPUs of a choice.
func (d *distribution) from(c *choice) (cpuset.CPUSet, error) {
	take := func(node, n int) {
		cpus, err := d.t.m.take(d.t.free.in(byNode, node), n, d.t.spread, false)
		if err == nil {
			d.t.add(cpus)
		}
	}
	share := d.share(c.nodes, true)
	for _, node := range c.nodes {
		take(node, share)
	}
	d.inTurn(c.rest, d.n-share*len(c.nodes), func(node int) bool {
		if d.count(node) < d.group {
			return false
		}
		take(node, d.group)
		return true
	})
	if d.t.need != 0 {
		return cpuset.New(), fmt.Errorf("accounting error, not enough CPUs allocated, remaining: %v", d.t.need)
	}
	return d.t.taken, nil
}

// share is what each of the nodes gives: an equal part in whole groups; with capped no more than the poorest of them has.
func (d *distribution) share(nodes []int, capped bool) int {
	share := d.n / len(nodes) / d.group * d.group
	if capped {
		for _, node := range nodes {
			share = min(share, d.count(node)/d.group*d.group)
		}
	}
	return share
}

// count is how many CPUs of a node are free.
func (d *distribution) count(node int) int { return d.t.free.in(byNode, node).Size() }

func (d *distribution) sockets(nodes []int) []int {
	var out []int
	for _, node := range nodes {
		out = append(out, d.t.m.idsIn(bySocket, byNode, node)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unequal is the standard deviation of numbers, to three places.
func (d *distribution) unequal(left map[int]int) float64 {
	places := func(f float64) float64 { return math.Round(f*1000) / 1000 }
	var sum float64
	for _, node := range d.nodes {
		sum += float64(left[node])
	}
	mean := places(sum / float64(len(d.nodes)))
	sum = 0
	for _, node := range d.nodes {
		sum += (float64(left[node]) - mean) * (float64(left[node]) - mean)
	}
	return places(math.Sqrt(sum / float64(len(d.nodes))))
}

// combinations calls fn with every choice of k of the numbers, in their order, until it returns false. fn does not keep what it
// is given.
func combinations(of []int, k int, fn func([]int) bool) {
	picked := make([]int, 0, k)
	var pick func(from int) bool
	pick = func(from int) bool {
		if len(picked) == k {
			return fn(picked)
		}
		for i := from; i <= len(of)-(k-len(picked)); i++ {
			picked = append(picked, of[i])
			more := pick(i + 1)
			picked = picked[:len(picked)-1]
			if !more {
				return false
			}
		}
		return true
	}
	pick(0)
}
