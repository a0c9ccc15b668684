package topology

// Merging takes one hint of every list, in all ways in which that can be done, and makes one of each such choice: its nodes are
// those that all hints share, and it is preferred when all hints are and name the same nodes. The best of them is the answer.
//
// The choices are as many as the product of the lists' lengths: 255 hints of each of four resources make four thousand
// millions. Nothing of a choice counts but the nodes that come out and whether it is preferred, and better is a total order over
// these; so it is enough to know which sets of nodes can come out at all. They are found list by list: what can come out of the
// first lists, shared with each hint of the next. TestMergeIsTheBestOfAllChoices compares this with going through all choices.

// merge returns the best hint for lists of hints, and the whole machine, not preferred, when there is none.
func (p *Policy) merge(all [][]Hint) Hint {
	if m, ok := best(agreed(p.all, all), p.narrower); ok {
		return Hint{m, true}
	}
	need := widestNeed(all)
	if m, ok := best(shared(p.all, all), func(a, b Mask) bool { return p.nearer(need, a, b) }); ok {
		return Hint{m, false}
	}
	return Hint{p.all, false}
}

// agreed are the sets of nodes for which every list has a preferred hint, or one that does not mind.
func agreed(machine Mask, all [][]Hint) []Mask {
	candidates := map[Mask]bool{0: true} // nobody minds
	for _, list := range all {
		for _, h := range list {
			if h.Preferred {
				candidates[h.Mask] = true
			}
		}
	}
	var out []Mask
	for m := range candidates {
		if everyList(all, m) {
			if m == 0 {
				m = machine
			}
			out = append(out, m&machine)
		}
	}
	return out
}

func everyList(all [][]Hint, m Mask) bool {
	for _, list := range all {
		found := false
		for _, h := range list {
			found = found || h.Preferred && (h.Mask == m || h.Mask == 0)
		}
		if !found {
			return false
		}
	}
	return true
}

// shared are the sets of nodes that a choice of hints can have in common.
func shared(machine Mask, all [][]Hint) []Mask {
	now := map[Mask]bool{machine: true}
	for _, list := range all {
		next := map[Mask]bool{}
		for m := range now {
			for _, h := range list {
				if h.Mask == 0 {
					next[m] = true
				} else {
					next[m&h.Mask] = true
				}
			}
		}
		now = next
	}
	out := make([]Mask, 0, len(now))
	for m := range now {
		out = append(out, m)
	}
	return out
}

// best of the sets that are not empty, by a total order.
func best(masks []Mask, better func(a, b Mask) bool) (out Mask, ok bool) {
	for _, m := range masks {
		if m != 0 && (!ok || better(m, out)) {
			out, ok = m, true
		}
	}
	return out, ok
}

// narrower orders sets that are preferred: the fewer nodes the better.
func (p *Policy) narrower(a, b Mask) bool {
	if na, nb := a.Count(), b.Count(); na != nb {
		return na < nb
	}
	return p.fitter(a, b)
}

// nearer orders sets that are not preferred. need is how many nodes the neediest resource takes: sets of as many come first, then
// smaller ones, the larger the better, then larger ones, the smaller the better.
func (p *Policy) nearer(need int, a, b Mask) bool {
	na, nb := a.Count(), b.Count()
	switch {
	case na == nb:
		return p.fitter(a, b)
	case na <= need && nb <= need:
		return na > nb
	default:
		return na < nb
	}
}

// fitter compares sets of as many nodes: by how close these are to each other, where the option asks for it, else, and where
// that is equal, the lower nodes are the better.
func (p *Policy) fitter(a, b Mask) bool {
	if p.options.Closest && p.name != SingleNUMANode {
		if da, db := p.distance(a), p.distance(b); da != db {
			return da < db
		}
	}
	return a < b
}

// distance is the sum of the distances between all nodes of m.
func (p *Policy) distance(m Mask) (sum uint64) {
	for _, from := range m.IDs() {
		for i, to := range p.ids {
			if d := p.distances[from]; m.Has(to) && i < len(d) {
				sum += d[i]
			}
		}
	}
	return sum
}
