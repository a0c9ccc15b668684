package scheduler

import (
	"encoding/binary"
	"slices"

	"sampan.dev/internal/control/scheduler/plugin"
)

// class is the nodes of a ranking about which all plugins say the same, but for scores that need no normalizing: by the sum of
// those, the nodes are in buckets.
type class struct {
	by      int16          // the filter that rejects the nodes for what is on them, or fits
	verdict plugin.Verdict // its words
	raw     []int64        // scores that are to be normalized, by the profile's scores; 0 for the others
	areas   []plugin.Area  // by the profile's areal plugins
	said    plugin.Verdict // what was last said of the nodes altogether, by outcome

	nodes   int
	buckets [][]int32 // by score, from low on: indexes of nodes
	low     int32     // the score of buckets[0]
	top     int32     // no node has a higher score
}

// highest returns the nodes with the best score; the class must have nodes.
func (c *class) highest() []int32 {
	for len(c.buckets[c.top-c.low]) == 0 {
		c.top--
	}
	return c.buckets[c.top-c.low]
}

// bucket returns the bucket of a score, which may be new.
func (c *class) bucket(score int32) *[]int32 {
	if c.buckets == nil {
		c.low, c.top = score, score
	}
	for score < c.low {
		more := min(c.low, max(16, int32(len(c.buckets))))
		c.buckets = append(make([][]int32, more), c.buckets...)
		c.low -= more
	}
	for int(score-c.low) >= len(c.buckets) {
		c.buckets = append(c.buckets, nil)
	}
	return &c.buckets[score-c.low]
}

// put takes the node at i out of its class and puts it into that of what was found of it. What is not in the arguments is in
// fresh and areas.
func (r *ranking) put(i int, by int16, verdict plugin.Verdict, total int64) {
	st := &r.nodes[i]
	score := int32(total)
	c := st.class
	if c == nil || c.by != by || !c.verdict.Equal(verdict) || !slices.Equal(c.areas, r.areas) || by == fits && !slices.Equal(c.raw, r.fresh) {
		c = r.class(by, verdict)
	} else if st.score == score {
		return
	}
	r.leave(i)
	b := c.bucket(score)
	st.class, st.score, st.at = c, score, int32(len(*b))
	*b = append(*b, int32(i))
	c.nodes++
	c.top = max(c.top, score)
}

// leave takes the node at i out of its class.
func (r *ranking) leave(i int) {
	st := &r.nodes[i]
	c := st.class
	if c == nil {
		return
	}
	b := c.bucket(st.score)
	last := (*b)[len(*b)-1]
	(*b)[st.at] = last
	r.nodes[last].at = st.at
	*b = (*b)[:len(*b)-1]
	c.nodes--
	st.class = nil
}

// class returns the class of what was found of a node, which may be new.
func (r *ranking) class(by int16, verdict plugin.Verdict) *class {
	key := binary.AppendVarint(r.key[:0], int64(by))
	if by == fits {
		for _, v := range r.fresh {
			key = binary.AppendVarint(key, v)
		}
	} else {
		if verdict.Unresolvable {
			key = append(key, 1)
		}
		for _, reason := range verdict.Reasons {
			key = append(append(key, 0), reason...)
		}
		key = append(key, 0)
	}
	for _, a := range r.areas {
		key = binary.AppendVarint(key, int64(a))
	}
	r.key = key
	if c := r.classes[string(key)]; c != nil {
		return c
	}
	if len(r.list) >= 64 {
		r.tidy()
	}
	c := &class{by: by, verdict: verdict, areas: slices.Clone(r.areas)}
	if by == fits {
		c.raw = slices.Clone(r.fresh)
	}
	r.classes[string(key)] = c
	r.list = append(r.list, c)
	return c
}

// tidy forgets the classes without nodes when they are half of all.
func (r *ranking) tidy() {
	empty := 0
	for _, c := range r.list {
		if c.nodes == 0 {
			empty++
		}
	}
	if 2*empty < len(r.list) {
		return
	}
	r.list = slices.DeleteFunc(r.list, func(c *class) bool { return c.nodes == 0 })
	for key, c := range r.classes {
		if c.nodes == 0 {
			delete(r.classes, key)
		}
	}
}

// judge returns the filter that rejects a class as things stand, or fits, and its words. The filters are asked in their order,
// also where one of them judges the node and another its area.
func (r *ranking) judge(c *class) (int16, plugin.Verdict) {
	for _, f := range r.profile.areaFilters {
		if c.by != fits && int(c.by) < f.place {
			break
		}
		if v := f.FilterArea(r.pod, c.areas[f.areal]); !v.Fits() {
			return int16(f.place), v
		}
	}
	return c.by, c.verdict
}

// contest compares classes that fit. All of it is by class.
type contest struct {
	classes []*class
	nodes   []int32
	total   []int64
	raw     []int64
	areas   []plugin.Area
}

// best returns the classes whose best nodes are the best of all.
func (r *ranking) best() []*class {
	in := &r.rivals
	in.classes = in.classes[:0]
	for _, c := range r.list {
		if c.nodes == 0 {
			continue
		}
		if by, _ := r.judge(c); by == fits {
			in.classes = append(in.classes, c)
		}
	}
	if len(in.classes) < 2 {
		return in.classes
	}
	r.weigh(in)
	most := int64(-1)
	best := in.classes[:0]
	for i, c := range in.classes {
		score := in.total[i] + int64(c.score())
		if score > most {
			most, best = score, best[:0]
		}
		if score == most {
			best = append(best, c)
		}
	}
	return best
}

// score returns the best score of any node of the class, by those that need no normalizing.
func (c *class) score() int32 {
	c.highest()
	return c.top
}

// weigh adds up the scores that set the classes against each other.
func (r *ranking) weigh(in *contest) {
	n := len(in.classes)
	in.total, in.raw = zeros(in.total, n), zeros(in.raw, n)
	for j, w := range r.profile.scores {
		if w.absolute {
			continue
		}
		for i, c := range in.classes {
			in.raw[i] = c.raw[j]
		}
		least, most := slices.Min(in.raw), slices.Max(in.raw)
		for i := range in.classes {
			in.total[i] += w.weight * w.Normalize(in.raw[i], least, most)
		}
	}
	if len(r.profile.areaScores) == 0 {
		return
	}
	in.nodes, in.areas = in.nodes[:0], in.areas[:0]
	for _, c := range in.classes {
		in.nodes = append(in.nodes, int32(c.nodes))
		in.areas = append(in.areas, 0)
	}
	for _, w := range r.profile.areaScores {
		for i, c := range in.classes {
			in.areas[i] = c.areas[w.areal]
		}
		w.ScoreAreas(r.pod, in.areas, in.nodes, in.raw)
		for i := range in.classes {
			in.total[i] += w.weight * in.raw[i]
		}
	}
}

// zeros returns n zeros in the room of s.
func zeros(s []int64, n int) []int64 {
	if cap(s) < n {
		return make([]int64, n)
	}
	s = s[:n]
	clear(s)
	return s
}
