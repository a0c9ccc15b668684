package topology

import (
	"encoding/binary"
	"slices"

	"sampan.dev/internal/control/scheduler/plugin"
)

// affinityView is the counts that matter to one sort of pods.
type affinityView struct {
	key    string
	serial uint64
	used   uint64

	needs  []*tally // required affinity: the pods that all terms speak of, by each term's key
	self   bool     // the pod itself is one that all of its terms speak of
	avoids []*tally // required anti-affinity
	shuns  []*tally // required anti-affinity of pods on nodes that speaks of the pod
	leans  []lean   // preferences, of the pod and of those on nodes
	areas  areas[affinityArea]
}

// lean is a preference: so much per pod in the domain.
type lean struct {
	tally  *tally
	weight int64
}

// plain is the view of pods that nothing matters to.
var plain = &affinityView{}

// fill finds the counts of a new view.
func (p *InterPodAffinity) fill(v *affinityView, t *plugin.Terms, heeds []*carrier) {
	near := func(t *plugin.Term) *layout { return p.layout(t.TopologyKey, t.TopologyKey, nil) }
	if len(t.Affinity) > 0 {
		g := p.spokenOf(t.Affinity)
		for i := range t.Affinity {
			v.needs = append(v.needs, g.tally(near(&t.Affinity[i])))
		}
	}
	one := func(t *plugin.Term) *tally { return p.spokenOf([]plugin.Term{*t}).tally(near(t)) }
	for i := range t.AntiAffinity {
		v.avoids = append(v.avoids, one(&t.AntiAffinity[i]))
	}
	for i := range t.Likes {
		v.leans = append(v.leans, lean{one(&t.Likes[i]), int64(t.Likes[i].Weight)})
	}
	for i := range t.Dislikes {
		v.leans = append(v.leans, lean{one(&t.Dislikes[i]), -int64(t.Dislikes[i].Weight)})
	}
	for _, c := range heeds {
		if c.shuns {
			v.shuns = append(v.shuns, c.tally)
		} else {
			v.leans = append(v.leans, lean{c.tally, c.weight})
		}
	}
}

func (v *affinityView) tallies(f func(*tally)) {
	for _, list := range [][]*tally{v.needs, v.avoids, v.shuns} {
		for _, t := range list {
			f(t)
		}
	}
	for _, l := range v.leans {
		f(l.tally)
	}
}

// version changes when nodes are numbered or counted anew.
func (v *affinityView) version() uint64 {
	n := v.serial << 32
	v.tallies(func(t *tally) { n += t.layout.flips + t.group.recounted })
	return n + v.areas.resets
}

// affinityArea is what a view needs to know of a node. Where a label's domains are shared by nodes, it names them, and what is
// in them is looked up when the area is judged; where each node has a domain of its own, it says what is there.
type affinityArea struct {
	domains []int32 // by the view's tallies whose layout is not local; none: no such label
	far     bool    // a label of required affinity is missing
	alone   bool    // in a domain of its own there is no pod that required affinity speaks of
	avoided bool    // in a domain of its own there is a pod that anti-affinity speaks of
	shunned bool    // in a domain of its own there is a pod whose anti-affinity speaks of the pod
	worth   int64   // preferences met in domains of its own
}

// area returns the area of a node, whose number is id.
func (v *affinityView) area(id int32) plugin.Area {
	a := affinityArea{domains: v.areas.room[:0]}
	for _, t := range v.needs {
		d := t.layout.at(id)
		a.far = a.far || d == none
		if !t.layout.local() {
			a.domains = append(a.domains, d)
		} else if t.in(d) <= 0 {
			a.alone = true
		}
	}
	for i, list := range [][]*tally{v.avoids, v.shuns} {
		found := &a.avoided
		if i == 1 {
			found = &a.shunned
		}
		for _, t := range list {
			if d := t.layout.at(id); !t.layout.local() {
				a.domains = append(a.domains, d)
			} else if t.in(d) > 0 {
				*found = true
			}
		}
	}
	for _, l := range v.leans {
		if d := l.tally.layout.at(id); !l.tally.layout.local() {
			a.domains = append(a.domains, d)
		} else {
			a.worth += l.weight * int64(l.tally.in(d))
		}
	}
	v.areas.room = a.domains
	key := v.areas.key[:0]
	for _, d := range a.domains {
		key = binary.AppendVarint(key, int64(d))
	}
	var bits byte
	for i, b := range []bool{a.far, a.alone, a.avoided, a.shunned} {
		if b {
			bits |= 1 << i
		}
	}
	key = binary.AppendVarint(append(key, bits), a.worth)
	n, known := v.areas.number(key)
	if !known {
		a.domains = slices.Clone(a.domains)
		v.areas.list = append(v.areas.list, a)
	}
	return n
}

// filter judges an area, in upstream's order.
func (v *affinityView) filter(a *affinityArea) plugin.Verdict {
	if a.far {
		return notNear
	}
	next := 0
	domain := func(t *tally) int32 { // of a tally whose layout is not local, in their order
		next++
		return t.in(a.domains[next-1])
	}
	alone := a.alone
	for _, t := range v.needs {
		if !t.layout.local() && domain(t) <= 0 {
			alone = true
		}
	}
	if alone && !(v.self && v.first()) {
		return notNear
	}
	avoided, shunned := a.avoided, a.shunned
	for _, t := range v.avoids {
		if !t.layout.local() && domain(t) > 0 {
			avoided = true
		}
	}
	for _, t := range v.shuns {
		if !t.layout.local() && domain(t) > 0 {
			shunned = true
		}
	}
	switch {
	case avoided:
		return tooNear
	case shunned:
		return unwanted
	}
	return plugin.Verdict{}
}

// first reports whether required affinity finds no pod anywhere: the first of pods that want to be near each other may go
// where it likes.
func (v *affinityView) first() bool {
	for _, t := range v.needs {
		if t.total > 0 {
			return false
		}
	}
	return true
}

// score sums up the preferences that an area meets.
func (v *affinityView) score(a *affinityArea) int64 {
	worth := a.worth
	next := 0
	for _, list := range [][]*tally{v.needs, v.avoids, v.shuns} {
		for _, t := range list {
			if !t.layout.local() {
				next++
			}
		}
	}
	for _, l := range v.leans {
		if !l.tally.layout.local() {
			worth += l.weight * int64(l.tally.in(a.domains[next]))
			next++
		}
	}
	return worth
}
