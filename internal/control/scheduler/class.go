package scheduler

import (
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// class is what is known of every node for pods that are alike (plugin.Pod.Class): which filter rejects it and why, or its
// score. It follows the snapshot's changes, so that of ten thousand equal pods the first costs a look at every node and
// each further one a look at those that changed since, which is mostly the one node that the pod before it was put on.
//
// It chooses among all nodes that fit, where a look at one pod alone stops at some (feasibleNodes).
type class struct {
	profile *profile
	pod     *plugin.Pod // any of its pods
	uses    int
	built   bool
	used    uint64 // when it was last asked for, by the count of cycles

	seen  int    // of the snapshot's changes
	stamp uint64 // plugin.Cluster.Stamp

	nodes   []standing // by the node's index in the snapshot
	raw     []int64    // scores before they are normalized, len(profile.scores) to a node
	fresh   []int64    // room for those of one node
	spans   []span     // by score
	buckets [][]int32  // indexes of the nodes that fit, by their whole score
	top     int        // no bucket above it has any
	fits    int

	rejects  []int          // by filter: how many nodes it rejects
	reasons  map[string]int // and how often for which reason
	rejected map[string][]string
}

// standing is how one node stands with a class.
type standing struct {
	obj     *corev1.Node // of which static and its reasons were found
	static  int16        // the first static filter that rejects it, or fits
	by      int16        // the filter that rejects it, fits, or unknown
	score   int32        // its bucket
	at      int32        // its place in the bucket
	why     []string     // reasons of by
	statics []string     // reasons of static
}

const (
	fits    = -1
	unknown = -2 // nothing is counted of it yet
)

// span is the extremes of a score over the nodes that fit, and how many nodes are at each.
type span struct {
	least, most         int64
	atLeast, atMost     int
	oldLeast, oldMost   int64 // those that the totals are made with
	absolute, unsettled bool
}

// choose returns the best node, of several equals any, or "".
func (c *class) choose(s *snapshot, dice *rand.Rand) string {
	c.follow(s)
	if c.fits == 0 {
		return ""
	}
	for len(c.buckets[c.top]) == 0 {
		c.top--
	}
	best := c.buckets[c.top]
	i := 0
	if len(best) > 1 {
		i = dice.IntN(len(best))
	}
	return s.nodes[best[i]].Name
}

// follow takes in what changed in the snapshot.
func (c *class) follow(s *snapshot) {
	cluster := s.cluster()
	changes, ok := s.since(c.seen)
	if stamp := cluster.Stamp(c.pod); !c.built || !ok || stamp != c.stamp || len(changes) > len(s.nodes) {
		c.reset(s)
		c.stamp = stamp
		for i := range s.nodes {
			c.look(s, cluster, i)
		}
	} else {
		for len(c.nodes) < len(s.nodes) {
			c.nodes = append(c.nodes, standing{by: unknown})
			c.raw = append(c.raw, make([]int64, len(c.profile.scores))...)
		}
		for _, i := range changes {
			c.look(s, cluster, int(i))
		}
		c.nodes = c.nodes[:len(s.nodes)]
		c.raw = c.raw[:len(s.nodes)*len(c.profile.scores)]
	}
	c.seen, c.built = s.changed(), true
	c.settle()
}

func (c *class) reset(s *snapshot) {
	n, scores := len(s.nodes), len(c.profile.scores)
	c.nodes = make([]standing, n)
	for i := range c.nodes {
		c.nodes[i].by = unknown
	}
	c.raw = make([]int64, n*scores)
	c.fresh = make([]int64, scores)
	c.spans = make([]span, scores)
	most := int64(0)
	for i, w := range c.profile.scores {
		_, c.spans[i].absolute = w.Score.(plugin.Absolute)
		most += w.weight * plugin.MaxScore
	}
	c.buckets, c.top = make([][]int32, most+1), 0
	c.fits, c.rejects, c.reasons, c.rejected = 0, make([]int, len(c.profile.filters)), map[string]int{}, nil
}

// look finds out anew how the node at i stands, and counts it accordingly.
func (c *class) look(s *snapshot, cluster plugin.Cluster, i int) {
	if i >= len(c.nodes) {
		return // came and went between two looks
	}
	st := &c.nodes[i]
	if i >= len(s.nodes) {
		c.uncount(i)
		*st = standing{by: unknown}
		return
	}
	node := s.nodes[i]
	same := st.by != unknown && st.obj == node.Node
	static, statics := st.static, st.statics
	if !same {
		static, statics = c.profile.static(c.pod, node)
	}
	by, why := c.profile.dynamic(c.pod, node, static, statics)
	if by == fits {
		c.score(node, cluster, i, same && st.by == fits)
		if st.by == fits && c.sameScore(i) {
			st.obj, st.static, st.statics = node.Node, static, statics
			return
		}
	} else if by == st.by && slices.Equal(why, st.why) {
		if !same {
			c.rejected = nil // it may be another node that has come to this index
		}
		st.obj, st.static, st.statics = node.Node, static, statics
		return
	}
	c.uncount(i)
	st.obj, st.static, st.statics, st.by, st.why = node.Node, static, statics, by, why
	c.count(i)
}

// score puts the node's raw scores into fresh; those that cannot have changed are taken over.
func (c *class) score(node *plugin.Node, cluster plugin.Cluster, i int, same bool) {
	k := len(c.fresh)
	for j, w := range c.profile.scores {
		if same && w.static {
			c.fresh[j] = c.raw[i*k+j]
		} else {
			c.fresh[j] = w.Score.Score(c.pod, node, cluster)
		}
	}
}

func (c *class) sameScore(i int) bool {
	k := len(c.fresh)
	for j, v := range c.raw[i*k : (i+1)*k] {
		if v != c.fresh[j] {
			return false
		}
	}
	return true
}

// uncount takes the node at i out of all sums.
func (c *class) uncount(i int) {
	st := &c.nodes[i]
	c.rejected = nil
	switch st.by {
	case unknown:
	case fits:
		k := len(c.spans)
		for j := range c.spans {
			c.spans[j].remove(c.raw[i*k+j])
		}
		c.fits--
		b := c.buckets[st.score]
		last := b[len(b)-1]
		b[st.at] = last
		c.nodes[last].at = st.at
		c.buckets[st.score] = b[:len(b)-1]
	default:
		c.rejects[st.by]--
		for _, r := range st.why {
			if c.reasons[r]--; c.reasons[r] == 0 {
				delete(c.reasons, r)
			}
		}
	}
	st.by = unknown
}

// count puts the node at i into the sums; when it fits, with the scores in fresh.
func (c *class) count(i int) {
	st := &c.nodes[i]
	if st.by != fits {
		c.rejects[st.by]++
		for _, r := range st.why {
			c.reasons[r]++
		}
		return
	}
	k := len(c.spans)
	copy(c.raw[i*k:], c.fresh)
	for j := range c.spans {
		c.spans[j].add(c.fresh[j], c.fits == 0)
	}
	c.fits++
	c.shelve(i)
}

// shelve puts a node that fits into the bucket of its score, as the spans stand.
func (c *class) shelve(i int) {
	k := len(c.spans)
	total := int64(0)
	for j, w := range c.profile.scores {
		sp := &c.spans[j]
		total += w.weight * w.Normalize(c.raw[i*k+j], sp.oldLeast, sp.oldMost)
	}
	score := int(min(max(total, 0), int64(len(c.buckets)-1)))
	st := &c.nodes[i]
	st.score, st.at = int32(score), int32(len(c.buckets[score]))
	c.buckets[score] = append(c.buckets[score], int32(i))
	c.top = max(c.top, score)
}

// settle makes all totals anew when an extreme has moved that they depend on.
func (c *class) settle() {
	if c.fits == 0 {
		return
	}
	moved := false
	k := len(c.spans)
	for j := range c.spans {
		sp := &c.spans[j]
		if sp.absolute {
			continue
		}
		if sp.unsettled || sp.atLeast == 0 || sp.atMost == 0 {
			*sp = span{oldLeast: sp.oldLeast, oldMost: sp.oldMost}
			first := true
			for i := range c.nodes {
				if c.nodes[i].by == fits {
					sp.add(c.raw[i*k+j], first)
					first = false
				}
			}
		}
		if sp.least != sp.oldLeast || sp.most != sp.oldMost {
			moved = true
			sp.oldLeast, sp.oldMost = sp.least, sp.most
		}
	}
	if !moved {
		return
	}
	for i := range c.buckets {
		c.buckets[i] = c.buckets[i][:0]
	}
	c.top = 0
	for i := range c.nodes {
		if c.nodes[i].by == fits {
			c.shelve(i)
		}
	}
}

func (sp *span) add(v int64, first bool) {
	switch {
	case sp.absolute:
	case first:
		sp.least, sp.most, sp.atLeast, sp.atMost, sp.unsettled = v, v, 1, 1, false
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
	// With nobody at an extreme, what is added next cannot tell where it is.
	sp.unsettled = sp.unsettled || sp.atLeast == 0 || sp.atMost == 0
}

// outcome tells why no node fits.
func (c *class) outcome(s *snapshot) outcome {
	if c.rejected == nil {
		c.rejected = make(map[string][]string, len(c.nodes))
		for i := range c.nodes {
			c.rejected[s.nodes[i].Name] = c.nodes[i].why
		}
	}
	out := outcome{nodes: len(s.nodes), evaluated: len(s.nodes), rejected: c.rejected}
	for i, n := range c.rejects {
		if n > 0 {
			out.by = append(out.by, c.profile.filters[i].Filter)
		}
	}
	out.text = message(len(s.nodes), c.reasons)
	return out
}
