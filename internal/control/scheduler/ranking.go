package scheduler

import (
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// ranking is the answer to "where should this pod run" for all pods with one signature, kept up to date: the nodes in
// classes, those of a class in buckets by score.
//
// The first pod pays for a look at every node. After that the ranking looks only at the nodes that have changed, which it
// learns from the snapshot's journal and from the plugins' indexes: mostly the one node that the pod before it was put on.
// What depends on more than the node, it asks of each class when it chooses (class.go): scores are compared there, and the
// areas are judged that the nodes are in. There are few classes, however many nodes there are.
//
// It is right because a plugin's answer depends on nothing but the signature, the node and the plugin's index, and each of
// the three is watched; nominated pods, whose priority is in no signature, are seen to for each pod anew (setAside). It gives the same nodes and the same reasons as a look at all nodes one by one (profile.cycle, which
// stops at some that fit in a large cluster); TestRankingChoosesAmongTheBest compares the two while random nodes and pods come
// and go. Between looks every known node is in exactly one class.
//
// It belongs to the scheduler's goroutine.
type ranking struct {
	profile   *profile
	signature string
	pod       *plugin.Pod // the last one with it
	uses      int         // how often it was asked for
	used      uint64      // when it was last asked for, by the count of cycles
	built     bool

	seen     int      // how many of the snapshot's changes it has taken in
	versions []uint64 // of each of the profile's indexes

	nodes   []standing    // by the node's index in the snapshot
	raw     []int64       // scores before they are normalized, len(profile.scores) to a node
	fresh   []int64       // room for those of one node
	areas   []plugin.Area // room for those of one node, by the profile's areal plugins
	key     []byte        // room for the key of one class
	classes map[string]*class
	list    []*class // the same, in order of making
	rivals  contest  // room for a choice

	aside      []int32        // nodes that a nominated pod keeps from the last one, until the next look
	resolvable []*plugin.Node // room for those of an outcome
}

// standing is how one node stands in a ranking.
type standing struct {
	obj    *corev1.Node // of which static's verdict was found
	static int16        // the first static filter that rejects it, or fits
	score  int32        // its bucket
	at     int32        // its place in the bucket
	class  *class       // nil: it is in none yet

	// The verdict of static, taken apart: there is a standing for each node in each ranking.
	staticUnresolvable bool
	staticReasons      []string
}

func (st *standing) staticVerdict() plugin.Verdict {
	return plugin.Verdict{Reasons: st.staticReasons, Unresolvable: st.staticUnresolvable}
}

// fits stands for no filter where one that rejects is named.
const fits = -1

// choose returns the best node, of several equals any, or "".
func (r *ranking) choose(s *snapshot, dice *rand.Rand) string {
	r.follow(s)
	r.setAside(s)
	best := r.best()
	n := 0
	for _, c := range best {
		n += len(c.highest())
	}
	if n == 0 {
		return ""
	}
	i := 0
	if n > 1 {
		i = dice.IntN(n)
	}
	for _, c := range best {
		b := c.highest()
		if i < len(b) {
			return s.nodes[b[i]].Name
		}
		i -= len(b)
	}
	return ""
}

// follow takes in what changed in the snapshot and in the indexes.
func (r *ranking) follow(s *snapshot) {
	changes, known := s.since(r.seen)
	touched, few := r.touched()
	if !r.built || !known || !few || len(changes)+len(touched)+len(r.aside) > len(s.nodes) {
		r.reset(s)
		for i := range s.nodes {
			r.look(s, i, false)
		}
	} else {
		for len(r.nodes) < len(s.nodes) {
			r.nodes = append(r.nodes, standing{})
			r.raw = append(r.raw, make([]int64, len(r.profile.scores))...)
		}
		for _, list := range [][]int32{r.aside, changes} {
			for _, i := range list {
				r.look(s, int(i), true)
			}
		}
		for _, name := range touched {
			if i, there := s.place[name]; there {
				r.look(s, i, false)
			}
		}
		r.nodes = r.nodes[:len(s.nodes)]
		r.raw = r.raw[:len(s.nodes)*len(r.profile.scores)]
	}
	r.seen, r.built, r.aside = s.changed(), true, r.aside[:0]
}

// setAside rejects the nodes that fit but for the pods that are nominated for them, until the next look.
func (r *ranking) setAside(s *snapshot) {
	for name := range s.nominated.byNode {
		i, there := s.place[name]
		if !there {
			continue
		}
		if by, _ := r.judge(r.nodes[i].class); by != fits {
			continue
		}
		f, v := r.profile.besideNominated(r.pod, s.nodes[i], s)
		if f == nil {
			continue
		}
		r.survey(s.nodes[i])
		r.put(i, int16(slices.IndexFunc(r.profile.filters, func(o filter) bool { return o.Name() == f.Name() })), v, 0)
		r.aside = append(r.aside, int32(i))
	}
}

// survey puts the areas of a node into areas.
func (r *ranking) survey(node *plugin.Node) {
	for k, p := range r.profile.areals {
		r.areas[k] = p.Area(r.pod, node)
	}
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
	r.raw = make([]int64, n*scores)
	r.fresh = make([]int64, scores)
	r.areas = make([]plugin.Area, len(r.profile.areals))
	r.classes, r.list = map[string]*class{}, nil
}

// look finds out anew how the node at i stands, and puts it into its class. With reuse it asks no static plugin about a node
// whose object is the same as before.
func (r *ranking) look(s *snapshot, i int, reuse bool) {
	if i >= len(r.nodes) {
		return // came and went between two looks
	}
	st := &r.nodes[i]
	if i >= len(s.nodes) {
		r.leave(i)
		*st = standing{}
		return
	}
	node := s.nodes[i]
	same := st.class != nil && st.obj == node.Node
	static, staticVerdict := st.static, st.staticVerdict()
	if !same || !reuse {
		static, staticVerdict = r.profile.static(r.pod, node)
	}
	by, verdict := r.profile.dynamic(r.pod, node, static, staticVerdict)
	st.obj, st.static = node.Node, static
	st.staticReasons, st.staticUnresolvable = staticVerdict.Reasons, staticVerdict.Unresolvable
	total := int64(0)
	if by == fits {
		total = r.score(node, i, same && reuse && st.class.by == fits)
	}
	if by == fits || int(by) > r.profile.firstArea {
		r.survey(node)
	} else {
		clear(r.areas)
	}
	r.put(i, by, verdict, max(total, 0))
}

// score puts the node's raw scores into fresh and raw, and returns the sum of those that need no normalizing. With reuse those
// that cannot have changed are taken over.
func (r *ranking) score(node *plugin.Node, i int, reuse bool) int64 {
	k, total := len(r.fresh), int64(0)
	raw := r.raw[i*k : (i+1)*k]
	for j, w := range r.profile.scores {
		if !reuse || !w.static {
			raw[j] = w.Score.Score(r.pod, node)
		}
		r.fresh[j] = raw[j]
		if w.absolute {
			total += w.weight * raw[j]
			r.fresh[j] = 0
		}
	}
	return total
}

// outcome tells why no node fits.
func (r *ranking) outcome(s *snapshot) outcome {
	out := outcome{nodes: len(s.nodes), evaluated: len(s.nodes)}
	counts, reject := map[string]int{}, make([]bool, len(r.profile.filters))
	for _, c := range r.list {
		if c.nodes == 0 {
			continue
		}
		by, verdict := r.judge(c)
		c.said = verdict
		for _, reason := range verdict.Reasons {
			counts[reason] += c.nodes
		}
		reject[by] = true
	}
	for i, f := range r.profile.filters {
		if reject[i] {
			out.by = append(out.by, f.Filter)
		}
	}
	if len(r.profile.PostFilters) > 0 {
		r.resolvable = r.resolvable[:0]
		for i := range r.nodes {
			if !r.nodes[i].class.said.Unresolvable {
				r.resolvable = append(r.resolvable, s.nodes[i])
			}
		}
		out.resolvable = r.resolvable
	}
	out.text = message(len(s.nodes), counts)
	return out
}
