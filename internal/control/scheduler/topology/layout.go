package topology

import (
	"sampan.dev/internal/control/scheduler/plugin"
)

// none is the domain of a node that does not have the label.
const none int32 = -1

// layout divides the nodes into domains by the value of a label. Only the pods on nodes that it admits are counted in their
// domain, and only domains with such a node are alive. It belongs to a census.
type layout struct {
	key    string
	admits func(*plugin.Node) bool // nil admits every node

	of    []int32 // by node id: its domain, or none
	in    []bool  // by node id: it is admitted
	names map[string]int32
	value []string // by domain
	size  []int32  // by domain: its nodes, admitted or not
	alive []int32  // by domain: those that are admitted
	free  []int32  // domains without a node

	living  int // domains that are alive
	plural  int // domains of more than one node
	flips   uint64
	tallies []*tally
}

func newLayout(key string, admits func(*plugin.Node) bool) *layout {
	return &layout{key: key, admits: admits, names: map[string]int32{}}
}

// local reports whether no two nodes share a domain, as with the label of the host's name: what is counted in the domain is
// counted on the node then.
func (l *layout) local() bool { return l.plural == 0 }

// at returns the domain of a node.
func (l *layout) at(id int32) int32 {
	if int(id) >= len(l.of) {
		return none
	}
	return l.of[id]
}

// set takes in a node as it is now; Known is false for one that has gone.
func (l *layout) set(id int32, node *plugin.Node) {
	for int(id) >= len(l.of) {
		l.of, l.in = append(l.of, none), append(l.in, false)
	}
	value, has := "", false
	if node.Known() {
		value, has = node.Labels[l.key]
	}
	in := has && (l.admits == nil || l.admits(node))
	if d := l.of[id]; d != none && has && l.value[d] == value {
		if in != l.in[id] {
			l.admit(id, in)
		}
		return
	}
	l.leave(id)
	if has {
		l.join(id, value)
		if in {
			l.admit(id, true)
		}
	}
}

// admit counts a node's pods in its domain, or no longer.
func (l *layout) admit(id int32, in bool) {
	d, sign := l.of[id], int32(1)
	if !in {
		sign = -1
	}
	l.in[id] = in
	if in {
		if l.alive[d]++; l.alive[d] == 1 {
			l.living++
			l.turn(d, true)
		}
	}
	for _, t := range l.tallies {
		if n := t.group.on(id); n != 0 {
			t.add(d, sign*n)
		}
	}
	if !in {
		if l.alive[d]--; l.alive[d] == 0 {
			l.living--
			l.turn(d, false)
		}
	}
}

func (l *layout) turn(d int32, alive bool) {
	for _, t := range l.tallies {
		t.turn(d, alive)
	}
}

func (l *layout) join(id int32, value string) {
	d, known := l.names[value]
	if !known {
		if n := len(l.free); n > 0 {
			d, l.free = l.free[n-1], l.free[:n-1]
			l.value[d] = value
		} else {
			d = int32(len(l.value))
			l.value, l.size, l.alive = append(l.value, value), append(l.size, 0), append(l.alive, 0)
		}
		l.names[value] = d
	}
	l.of[id] = d
	if l.size[d]++; l.size[d] == 2 {
		l.plural++
		if l.plural == 1 {
			l.flips++
		}
	}
}

func (l *layout) leave(id int32) {
	d := l.of[id]
	if d == none {
		return
	}
	if l.in[id] {
		l.admit(id, false)
	}
	l.of[id] = none
	switch l.size[d]--; l.size[d] {
	case 1:
		l.plural--
		if l.plural == 0 {
			l.flips++
		}
	case 0:
		delete(l.names, l.value[d])
		l.free = append(l.free, d)
	}
}

// tally counts a group's pods by the domains of a layout.
type tally struct {
	layout *layout
	group  *group
	count  []int32 // by domain
	total  int32   // pods in any domain
	with   []int32 // by count: living domains that have it
	lowest int     // no living domain has less
}

func newTally(l *layout, g *group) *tally {
	t := &tally{layout: l, group: g}
	for d, n := range l.alive {
		if n > 0 {
			t.turn(int32(d), true)
		}
	}
	for id, d := range l.of {
		if d != none && l.in[id] {
			if n := g.on(int32(id)); n != 0 {
				t.add(d, n)
			}
		}
	}
	return t
}

// in returns how many of the pods are in a domain.
func (t *tally) in(d int32) int32 {
	if d < 0 || int(d) >= len(t.count) {
		return 0
	}
	return t.count[d]
}

// node counts n pods more on a node.
func (t *tally) node(id, n int32) {
	if d := t.layout.at(id); d != none && t.layout.in[id] {
		t.add(d, n)
	}
}

func (t *tally) add(d, n int32) {
	t.shelve(t.in(d), -1)
	t.reach(d)
	t.count[d] += n
	t.total += n
	t.shelve(t.count[d], +1)
}

// turn takes in that a domain, in which none of the pods is, has come to life or died.
func (t *tally) turn(d int32, alive bool) {
	t.reach(d)
	if alive {
		t.shelve(t.count[d], +1)
	} else {
		t.shelve(t.count[d], -1)
	}
}

func (t *tally) reach(d int32) {
	for int(d) >= len(t.count) {
		t.count = append(t.count, 0)
	}
}

func (t *tally) shelve(count, sign int32) {
	for int(count) >= len(t.with) {
		t.with = append(t.with, 0)
	}
	t.with[count] += sign
	if sign > 0 && int(count) < t.lowest {
		t.lowest = int(count)
	}
}

// least returns the smallest count of a living domain; 0 when there is none.
func (t *tally) least() int32 {
	if t.layout.living == 0 {
		return 0
	}
	for t.with[t.lowest] == 0 {
		t.lowest++
	}
	return int32(t.lowest)
}
