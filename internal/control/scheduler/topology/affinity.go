package topology

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sampan.dev/internal/control/scheduler/plugin"
)

// AffinityArgs are upstream's InterPodAffinityArgs.
type AffinityArgs struct {
	HardPodAffinityWeight              int32 // for required affinity of pods on nodes; upstream's default is 1
	IgnorePreferredTermsOfExistingPods bool  // for pods without preferred terms of their own
}

// mostViews is how many sorts of pods a plugin keeps counts for; of more, those asked for longest ago are dropped.
const mostViews = 128

// InterPodAffinity is affinity and anti-affinity to the pods near a node, required and preferred, those of the pod that comes
// and those of the pods that are there. Make one with NewInterPodAffinity.
//
// It counts, by the domains of each term's topology key, the pods that a term of a waiting pod speaks of (census), and for
// each term of the pods on nodes those that carry it (carriers). A view names the counts that matter to one sort of pods. It
// belongs to the scheduler's goroutine.
type InterPodAffinity struct {
	census
	args    AffinityArgs
	cluster Cluster

	carriers map[string]*carrier
	bySpace  map[string][]*carrier // by the namespaces that the term names
	anywhere []*carrier            // those whose namespaces are chosen by labels
	views    map[string]*affinityView
	serial   uint64
	epoch    uint64                // counts what may change which carriers matter to a pod
	spaces   uint64                // the version of namespaces' labels that the counts are of
	labels   map[string]labels.Set // of namespaces, as of that version, so that a pod is taken out of the counts it was put into
}

// carrier is the pods on nodes that carry one term in one role.
type carrier struct {
	id     uint64
	term   plugin.Term
	shuns  bool  // required anti-affinity
	weight int64 // what it is worth in scores; shuns: 0
	tally  *tally
}

var (
	notNear  = plugin.Unresolvable("node(s) didn't match pod affinity rules")
	tooNear  = plugin.Unschedulable("node(s) didn't match pod anti-affinity rules")
	unwanted = plugin.Unschedulable("node(s) didn't satisfy existing pods anti-affinity rules")
)

// NewInterPodAffinity returns an InterPodAffinity that knows of no node yet.
func NewInterPodAffinity(args AffinityArgs) *InterPodAffinity {
	return &InterPodAffinity{census: newCensus(), args: args, cluster: nowhere{},
		carriers: map[string]*carrier{}, bySpace: map[string][]*carrier{}, views: map[string]*affinityView{}, labels: map[string]labels.Set{}}
}

// Name implements plugin.Plugin.
func (*InterPodAffinity) Name() string { return "InterPodAffinity" }

// Connect gives it what it asks about namespaces.
func (p *InterPodAffinity) Connect(c Cluster) { p.cluster = c }

// Epoch implements plugin.Dated.
func (p *InterPodAffinity) Epoch() uint64 {
	if now, _ := p.cluster.Versions(); now != p.spaces {
		p.spaces = now
		clear(p.labels)
		for _, g := range p.groups {
			if g.byLabels {
				p.recount(g)
				p.epoch++
			}
		}
		if len(p.anywhere) > 0 {
			p.epoch++
		}
	}
	return p.epoch
}

// namespace returns the labels of a namespace as the counts know them.
func (p *InterPodAffinity) namespace(name string) labels.Set {
	known, ok := p.labels[name]
	if !ok {
		known = p.cluster.NamespaceLabels(name)
		p.labels[name] = known
	}
	return known
}

// Sign implements plugin.Signed: pods are alike whose own terms are, and to whom the same terms of other pods speak.
func (p *InterPodAffinity) Sign(s *plugin.Signer) {
	if v := p.view(s.Pod()); v != plain {
		v.areas.limit()
		s.Own(p.Name(), v.key)
	}
}

// Filter implements plugin.Filter.
func (p *InterPodAffinity) Filter(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	v := p.view(pod)
	if v == plain {
		return plugin.Verdict{}
	}
	return v.filter(&v.areas.list[v.area(p.id(node.Name))])
}

// Area implements plugin.Areal.
func (p *InterPodAffinity) Area(pod *plugin.Pod, node *plugin.Node) plugin.Area {
	v := p.view(pod)
	if v == plain {
		return 0
	}
	return v.area(p.id(node.Name))
}

// FilterArea implements plugin.AreaFilter.
func (p *InterPodAffinity) FilterArea(pod *plugin.Pod, area plugin.Area) plugin.Verdict {
	v := p.view(pod)
	if v == plain {
		return plugin.Verdict{}
	}
	return v.filter(&v.areas.list[area])
}

// Indifferent implements plugin.Indifferent.
func (p *InterPodAffinity) Indifferent(pod *plugin.Pod) bool {
	v := p.view(pod)
	return len(v.needs)+len(v.avoids)+len(v.shuns) == 0
}

// ScoreAreas implements plugin.AreaScore.
func (p *InterPodAffinity) ScoreAreas(pod *plugin.Pod, areas []plugin.Area, _ []int32, scores []int64) {
	v := p.view(pod)
	if len(v.leans) == 0 {
		clear(scores)
		return
	}
	for i, a := range areas {
		scores[i] = v.score(&v.areas.list[a])
	}
	least, most := slices.Min(scores), slices.Max(scores)
	for i, s := range scores {
		scores[i] = 0
		if most > least {
			scores[i] = int64(plugin.MaxScore * (float64(s-least) / float64(most-least)))
		}
	}
}

// Pod implements plugin.Index.
func (p *InterPodAffinity) Pod(pod *plugin.Pod, node *plugin.Node, sign int) {
	if t := pod.Terms; t != nil {
		id := p.id(node.Name)
		p.roles(t, func(c *carrier) { c.tally.group.add(id, int32(sign)) })
	}
	p.census.Pod(pod, node, sign)
}

// Since implements plugin.Index: all changes show in the areas, until nodes are numbered or counted anew.
func (p *InterPodAffinity) Since(pod *plugin.Pod, version uint64) ([]string, uint64, bool) {
	now := p.view(pod).version()
	return nil, now, now == version
}

// roles calls f with the carrier of each term.
func (p *InterPodAffinity) roles(t *plugin.Terms, f func(*carrier)) {
	for i := range t.AntiAffinity {
		f(p.carrier(&t.AntiAffinity[i], true, 0))
	}
	if p.args.HardPodAffinityWeight > 0 {
		for i := range t.Affinity {
			f(p.carrier(&t.Affinity[i], false, int64(p.args.HardPodAffinityWeight)))
		}
	}
	for i := range t.Likes {
		f(p.carrier(&t.Likes[i], false, int64(t.Likes[i].Weight)))
	}
	for i := range t.Dislikes {
		f(p.carrier(&t.Dislikes[i], false, -int64(t.Dislikes[i].Weight)))
	}
}

// carrier returns the carrier of a term, which may be new.
func (p *InterPodAffinity) carrier(t *plugin.Term, shuns bool, weight int64) *carrier {
	key := strconv.FormatBool(shuns) + strconv.FormatInt(weight, 10) + " " + t.Key
	if c := p.carriers[key]; c != nil {
		return c
	}
	g := &group{key: "carriers " + key}
	p.serial++
	c := &carrier{id: p.serial, term: *t, shuns: shuns, weight: weight, tally: g.tally(p.layout(t.TopologyKey, t.TopologyKey, nil))}
	p.carriers[key] = c
	if t.Everywhere() {
		p.anywhere = append(p.anywhere, c)
	} else {
		for _, name := range t.Namespaces {
			p.bySpace[name] = append(p.bySpace[name], c)
		}
	}
	p.epoch++
	return c
}

// matching returns the carriers whose term speaks of pod, in the order of their ids.
func (p *InterPodAffinity) matching(pod *corev1.Pod) []*carrier {
	var out []*carrier
	for _, list := range [][]*carrier{p.bySpace[pod.Namespace], p.anywhere} {
		for _, c := range list {
			if c.term.Matches(pod, p.namespace) {
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b *carrier) int { return int(a.id) - int(b.id) })
	return out
}

// view returns what matters to pod; plain when nothing does.
func (p *InterPodAffinity) view(pod *plugin.Pod) *affinityView {
	if pod.Terms == nil && len(p.carriers) == 0 {
		return plain
	}
	own := pod.View(0)
	if own.Of != nil && own.Epoch == p.epoch {
		return own.Of.(*affinityView)
	}
	if len(p.views) >= mostViews {
		p.drop()
	}
	if pod.Terms != nil { // before anything is signed: its terms are carried as soon as it has a node
		p.roles(pod.Terms, func(*carrier) {})
	}
	v := p.find(pod)
	own.Epoch, own.Of = p.epoch, v
	return v
}

// find returns the view of pods like pod, making it when it is new.
func (p *InterPodAffinity) find(pod *plugin.Pod) *affinityView {
	t := pod.Terms
	if t == nil {
		t = &plugin.Terms{}
	}
	heeds := p.matching(pod.Pod)
	if p.args.IgnorePreferredTermsOfExistingPods && len(t.Likes)+len(t.Dislikes) == 0 {
		heeds = only(heeds, func(c *carrier) bool { return c.shuns })
	}
	if pod.Terms == nil && len(heeds) == 0 {
		return plain
	}
	self := len(t.Affinity) > 0 && !slices.ContainsFunc(t.Affinity, func(t plugin.Term) bool { return !t.Matches(pod.Pod, p.namespace) })
	var key strings.Builder
	key.WriteString(strconv.FormatBool(self))
	for i, list := range [][]plugin.Term{t.Affinity, t.AntiAffinity, t.Likes, t.Dislikes} {
		for j := range list {
			key.WriteString(" " + strconv.Itoa(i) + "*" + strconv.Itoa(int(list[j].Weight)) + " " + list[j].Key)
		}
	}
	for _, c := range heeds {
		key.WriteString(" " + strconv.FormatUint(c.id, 10))
	}
	v := p.views[key.String()]
	if v == nil {
		p.serial++
		v = &affinityView{key: key.String(), serial: p.serial, self: self, areas: newAreas[affinityArea]()}
		p.fill(v, t, heeds)
		p.views[v.key] = v
	}
	p.serial++
	v.used = p.serial
	return v
}

// drop forgets half of the views, those found longest ago, with the counts that only they need, and the carriers that have no
// pods.
func (p *InterPodAffinity) drop() {
	var uses []uint64
	for _, v := range p.views {
		uses = append(uses, v.used)
	}
	slices.Sort(uses)
	for key, v := range p.views {
		if v.used < uses[len(uses)/2] {
			delete(p.views, key)
		}
	}
	busy := func(c *carrier) bool { return c.tally.group.pods > 0 }
	for key, c := range p.carriers {
		if !busy(c) {
			delete(p.carriers, key)
		}
	}
	for name, list := range p.bySpace {
		if p.bySpace[name] = only(list, busy); len(p.bySpace[name]) == 0 {
			delete(p.bySpace, name)
		}
	}
	p.anywhere = only(p.anywhere, busy)
	p.epoch++
	p.sweep(func(keep func(*tally)) {
		for _, c := range p.carriers {
			keep(c.tally)
		}
		for _, v := range p.views {
			v.tallies(keep)
		}
	})
}

// spokenOf is the group of the pods that all of the terms speak of.
func (p *InterPodAffinity) spokenOf(terms []plugin.Term) *group {
	var key strings.Builder
	for i := range terms {
		key.WriteString(terms[i].Key)
	}
	return p.selecting(key.String(), func() *group {
		g := &group{namespaces: terms[0].Namespaces, selects: func(pod *corev1.Pod) bool {
			for i := range terms {
				if !terms[i].Matches(pod, p.namespace) {
					return false
				}
			}
			return true
		}}
		for i := range terms {
			g.byLabels = g.byLabels || terms[i].Everywhere() && !terms[i].NamespaceSelector.Empty()
		}
		if terms[0].Everywhere() {
			g.namespaces = nil
		}
		return g
	})
}
