package scheduler

import (
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// ranking is the answer to "where should this pod run" for all pods with one signature, kept up to date: for every node,
// which filter rejects it and why, or its score; and the nodes that fit, in buckets by score.
//
// The first pod pays for a look at every node. After that the ranking looks only at the nodes that have changed, which it
// learns from the snapshot's journal and from the plugins' indexes: mostly the one node that the pod before it was put on.
//
// It is right because a plugin's answer depends on nothing but the signature, the node and the plugin's index, and each of
// the three is watched; nominated pods, whose priority is in no signature, are seen to before it is asked (profile.refused).
// It gives the same nodes and the same reasons as a look at all nodes one by one (profile.cycle, which
// stops at some that fit in a large cluster); TestRankingChoosesAmongTheBest compares the two while random nodes and pods come
// and go. Two rules hold between looks: every known node is counted exactly once, in a bucket or under the filter that rejects
// it; and every bucket's scores are made with the extremes in spans.
//
// It belongs to the scheduler's goroutine.
type ranking struct {
	profile *profile
	pod     *plugin.Pod // any with the signature
	uses    int         // how often it was asked for
	used    uint64      // when it was last asked for, by the count of cycles
	built   bool

	seen     int      // how many of the snapshot's changes it has taken in
	versions []uint64 // of each of the profile's indexes

	nodes   []standing // by the node's index in the snapshot
	raw     []int64    // scores before they are normalized, len(profile.scores) to a node
	fresh   []int64    // room for those of one node
	spans   []span     // by score
	buckets [][]int32  // indexes of the nodes that fit, by their whole score
	top     int        // no bucket above it has any
	fits    int        // how many nodes fit

	rejects  []int               // by filter: how many nodes it rejects
	reasons  map[string]int      // how many nodes are rejected for a reason
	rejected map[string][]string // node name -> reasons; nil until asked for, and when it is no longer true
}

// standing is how one node stands in a ranking.
type standing struct {
	obj    *corev1.Node // of which static's verdict was found
	static int16        // the first static filter that rejects it, or fits
	by     int16        // the filter that rejects it, fits, or unknown
	score  int32        // its bucket
	at     int32        // its place in the bucket

	// The verdicts of by and of static, taken apart: there is a standing for each node in each ranking.
	unresolvable, staticUnresolvable bool
	reasons, staticReasons           []string
}

func (st *standing) verdict() plugin.Verdict {
	return plugin.Verdict{Reasons: st.reasons, Unresolvable: st.unresolvable}
}

func (st *standing) staticVerdict() plugin.Verdict {
	return plugin.Verdict{Reasons: st.staticReasons, Unresolvable: st.staticUnresolvable}
}

const (
	fits    = -1
	unknown = -2 // nothing is counted of it yet
)

// choose returns the best node, of several equals any, or "".
func (r *ranking) choose(s *snapshot, dice *rand.Rand) string {
	r.follow(s)
	if r.fits == 0 {
		return ""
	}
	for len(r.buckets[r.top]) == 0 {
		r.top--
	}
	best := r.buckets[r.top]
	i := 0
	if len(best) > 1 {
		i = dice.IntN(len(best))
	}
	return s.nodes[best[i]].Name
}

// follow takes in what changed in the snapshot and in the indexes.
func (r *ranking) follow(s *snapshot) {
	changes, known := s.since(r.seen)
	touched, few := r.touched()
	if !r.built || !known || !few || len(changes)+len(touched) > len(s.nodes) {
		r.reset(s)
		for i := range s.nodes {
			r.look(s, i, false)
		}
	} else {
		for len(r.nodes) < len(s.nodes) {
			r.nodes = append(r.nodes, standing{by: unknown})
			r.raw = append(r.raw, make([]int64, len(r.profile.scores))...)
		}
		for _, i := range changes {
			r.look(s, int(i), true)
		}
		for _, name := range touched {
			if i, there := s.place[name]; there {
				r.look(s, i, false)
			}
		}
		r.nodes = r.nodes[:len(s.nodes)]
		r.raw = r.raw[:len(s.nodes)*len(r.profile.scores)]
	}
	r.seen, r.built = s.changed(), true
	r.settle()
}

// touched returns the nodes that the profile's indexes name, or false when one of them says that it may be any.
func (r *ranking) touched() (nodes []string, few bool) {
	if r.versions == nil {
		r.versions = make([]uint64, len(r.profile.indexes))
	}
	few = true
	for i, index := range r.profile.indexes {
		names, now, ok := index.Since(r.pod, r.versions[i])
		r.versions[i] = now
		few = few && ok
		if len(names) > 0 {
			nodes = append(nodes, names...)
		}
	}
	return nodes, few
}

func (r *ranking) reset(s *snapshot) {
	n, scores := len(s.nodes), len(r.profile.scores)
	r.nodes = make([]standing, n)
	for i := range r.nodes {
		r.nodes[i].by = unknown
	}
	r.raw = make([]int64, n*scores)
	r.fresh = make([]int64, scores)
	r.spans = make([]span, scores)
	most := int64(0)
	for i, w := range r.profile.scores {
		_, r.spans[i].absolute = w.Score.(plugin.Absolute)
		most += w.weight * plugin.MaxScore
	}
	r.buckets, r.top = make([][]int32, most+1), 0
	r.fits, r.rejects, r.reasons, r.rejected = 0, make([]int, len(r.profile.filters)), map[string]int{}, nil
}

// look finds out anew how the node at i stands, and counts it accordingly. With reuse it asks no static plugin about a node
// whose object is the same as before.
func (r *ranking) look(s *snapshot, i int, reuse bool) {
	if i >= len(r.nodes) {
		return // came and went between two looks
	}
	st := &r.nodes[i]
	if i >= len(s.nodes) {
		r.uncount(i)
		*st = standing{by: unknown}
		return
	}
	node := s.nodes[i]
	same := st.by != unknown && st.obj == node.Node
	static, staticVerdict := st.static, st.staticVerdict()
	if !same || !reuse {
		static, staticVerdict = r.profile.static(r.pod, node)
	}
	by, verdict := r.profile.dynamic(r.pod, node, static, staticVerdict)
	unchanged := false
	if by == fits {
		r.score(node, i, same && reuse && st.by == fits)
		unchanged = st.by == fits && r.sameScore(i)
	} else {
		unchanged = by == st.by && verdict.Equal(st.verdict())
		if !same {
			r.rejected = nil // it may be another node that has come to this index
		}
	}
	if !unchanged {
		r.uncount(i)
	}
	st.obj, st.static = node.Node, static
	st.staticReasons, st.staticUnresolvable = staticVerdict.Reasons, staticVerdict.Unresolvable
	if !unchanged {
		st.by, st.reasons, st.unresolvable = by, verdict.Reasons, verdict.Unresolvable
		r.count(i)
	}
}

// score puts the node's raw scores into fresh; with reuse those that cannot have changed are taken over.
func (r *ranking) score(node *plugin.Node, i int, reuse bool) {
	k := len(r.fresh)
	for j, w := range r.profile.scores {
		if reuse && w.static {
			r.fresh[j] = r.raw[i*k+j]
		} else {
			r.fresh[j] = w.Score.Score(r.pod, node)
		}
	}
}

func (r *ranking) sameScore(i int) bool {
	k := len(r.fresh)
	for j, v := range r.raw[i*k : (i+1)*k] {
		if v != r.fresh[j] {
			return false
		}
	}
	return true
}

// outcome tells why no node fits.
func (r *ranking) outcome(s *snapshot) outcome {
	if r.rejected == nil {
		r.rejected = make(map[string][]string, len(r.nodes))
		for i := range r.nodes {
			r.rejected[s.nodes[i].Name] = r.nodes[i].reasons
		}
	}
	out := outcome{nodes: len(s.nodes), evaluated: len(s.nodes), rejected: r.rejected}
	for i, n := range r.rejects {
		if n > 0 {
			out.by = append(out.by, r.profile.filters[i].Filter)
		}
	}
	if len(r.profile.PostFilters) > 0 {
		for i := range r.nodes {
			if !r.nodes[i].unresolvable {
				out.resolvable = append(out.resolvable, s.nodes[i])
			}
		}
	}
	out.text = message(len(s.nodes), r.reasons)
	return out
}
