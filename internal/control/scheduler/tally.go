package scheduler

// The sums of a ranking. count and uncount keep them as single nodes change; settle makes the buckets anew when an extreme
// has moved that all scores are normalized with.

// uncount takes the node at i out of all sums.
func (r *ranking) uncount(i int) {
	st := &r.nodes[i]
	r.rejected = nil
	switch st.by {
	case unknown:
	case fits:
		k := len(r.spans)
		for j := range r.spans {
			r.spans[j].remove(r.raw[i*k+j])
		}
		r.fits--
		b := r.buckets[st.score]
		last := b[len(b)-1]
		b[st.at] = last
		r.nodes[last].at = st.at
		r.buckets[st.score] = b[:len(b)-1]
	default:
		r.rejects[st.by]--
		for _, reason := range st.reasons {
			if r.reasons[reason]--; r.reasons[reason] == 0 {
				delete(r.reasons, reason)
			}
		}
	}
	st.by = unknown
}

// count puts the node at i into the sums; when it fits, with the scores in fresh.
func (r *ranking) count(i int) {
	st := &r.nodes[i]
	if st.by != fits {
		r.rejects[st.by]++
		for _, reason := range st.reasons {
			r.reasons[reason]++
		}
		return
	}
	k := len(r.spans)
	copy(r.raw[i*k:], r.fresh)
	for j := range r.spans {
		r.spans[j].add(r.fresh[j], r.fits == 0)
	}
	r.fits++
	r.shelve(i)
}

// shelve puts a node that fits into the bucket of its score, as the spans stand.
func (r *ranking) shelve(i int) {
	k := len(r.spans)
	total := int64(0)
	for j, w := range r.profile.scores {
		sp := &r.spans[j]
		total += w.weight * w.Normalize(r.raw[i*k+j], sp.oldLeast, sp.oldMost)
	}
	score := int(min(max(total, 0), int64(len(r.buckets)-1)))
	st := &r.nodes[i]
	st.score, st.at = int32(score), int32(len(r.buckets[score]))
	r.buckets[score] = append(r.buckets[score], int32(i))
	r.top = max(r.top, score)
}

// settle makes all buckets anew when an extreme has moved that they depend on.
func (r *ranking) settle() {
	if r.fits == 0 {
		return
	}
	moved := false
	for j := range r.spans {
		if r.remeasure(j) {
			moved = true
		}
	}
	if !moved {
		return
	}
	for i := range r.buckets {
		r.buckets[i] = r.buckets[i][:0]
	}
	r.top = 0
	for i := range r.nodes {
		if r.nodes[i].by == fits {
			r.shelve(i)
		}
	}
}

// remeasure finds the extremes of one score and reports whether they are others than those the buckets are made with.
func (r *ranking) remeasure(j int) bool {
	sp := &r.spans[j]
	if sp.absolute {
		return false
	}
	if sp.atLeast == 0 || sp.atMost == 0 {
		*sp = span{oldLeast: sp.oldLeast, oldMost: sp.oldMost}
		first := true
		for i := range r.nodes {
			if r.nodes[i].by == fits {
				sp.add(r.raw[i*len(r.spans)+j], first)
				first = false
			}
		}
	}
	if sp.least == sp.oldLeast && sp.most == sp.oldMost {
		return false
	}
	sp.oldLeast, sp.oldMost = sp.least, sp.most
	return true
}

// span is the extremes of one score over the nodes that fit, and how many nodes are at each. When the last node at an extreme
// has gone (atLeast or atMost is 0), the extreme is no longer known and remeasure finds it.
type span struct {
	least, most       int64
	atLeast, atMost   int
	oldLeast, oldMost int64 // those that the buckets are made with
	absolute          bool  // the score needs no normalizing, so nothing is counted
}

func (sp *span) add(v int64, first bool) {
	switch {
	case sp.absolute:
	case first:
		sp.least, sp.most, sp.atLeast, sp.atMost = v, v, 1, 1
	default:
		if v < sp.least {
			sp.least, sp.atLeast = v, 0
		}
		if v == sp.least {
			sp.atLeast++
		}
		if v > sp.most {
			sp.most, sp.atMost = v, 0
		}
		if v == sp.most {
			sp.atMost++
		}
	}
}

func (sp *span) remove(v int64) {
	if sp.absolute {
		return
	}
	if v == sp.least {
		sp.atLeast--
	}
	if v == sp.most {
		sp.atMost--
	}
}
