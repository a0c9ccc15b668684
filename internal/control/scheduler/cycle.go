package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// preFilter asks the plugins that judge a pod as a whole, and reports whether one rejects it.
func (p *profile) preFilter(pod *plugin.Pod, s *snapshot) (outcome, bool) {
	if len(s.nodes) == 0 {
		return outcome{}, false // which says more
	}
	for _, f := range p.PreFilters {
		if v := f.PreFilter(pod); v.Err != nil {
			err := fmt.Errorf("running PreFilter plugin %q: %w", f.Name(), v.Err)
			return outcome{nodes: len(s.nodes), err: err, text: err.Error()}, true
		} else if !v.Fits() {
			return outcome{
				nodes: len(s.nodes), by: []plugin.Rejecting{f},
				text: fmt.Sprintf("0/%d nodes are available: %s.", len(s.nodes), strings.Join(v.Reasons, ", ")),
			}, true
		}
	}
	return outcome{}, false
}

// cycle decides where pod should run, looking at nodes one by one. It is pure but for the order in which nodes take turns
// and for dice, which breaks ties.
func (p *profile) cycle(pod *plugin.Pod, s *snapshot, dice *rand.Rand) outcome {
	out, fit := p.sift(pod, s)
	return p.pick(pod, out, fit, nil, dice)
}

// sift returns nodes that fit, of which there may be more in a large cluster, and what the filters said of the others.
func (p *profile) sift(pod *plugin.Pod, s *snapshot) (out outcome, fit []*plugin.Node) {
	out.nodes = len(s.nodes)
	enough := feasibleNodes(len(s.nodes))
	for i := range s.nodes {
		node := s.nodes[(s.start+i)%len(s.nodes)]
		out.evaluated++
		if f, v := p.admit(pod, node, s); v.Err != nil {
			err := fmt.Errorf("running %q filter plugin: %w", f.Name(), v.Err)
			return outcome{nodes: len(s.nodes), err: err, text: err.Error()}, nil
		} else if f != nil {
			out.reject(node, f, v)
			if len(p.PostFilters) > 0 && !v.Unresolvable {
				out.resolvable = append(out.resolvable, node)
			}
			continue
		}
		if fit = append(fit, node); len(fit) >= enough {
			break
		}
	}
	if out.nodes > 0 {
		s.start = (s.start + out.evaluated) % out.nodes
	}
	return out, fit
}

// pick completes an outcome with the best of the nodes that fit. more, which may be nil, tells what others add to the scores, by node;
// it is not asked where there is no choice.
func (p *profile) pick(pod *plugin.Pod, out outcome, fit []*plugin.Node, more func() map[string]int64, dice *rand.Rand) outcome {
	switch {
	case out.err != nil:
	case len(fit) == 0:
		out.text = out.message()
	case len(fit) == 1:
		out.node = fit[0].Name
	default:
		total := p.totals(pod, fit)
		if more != nil {
			added := more()
			for i, node := range fit {
				total[i] += added[node.Name]
			}
		}
		out.node = fit[highest(total, dice)].Name
	}
	return out
}

// filter returns the first filter that rejects a node, and its verdict; nil when the pod fits.
func (p *profile) filter(pod *plugin.Pod, node *plugin.Node) (plugin.Filter, plugin.Verdict) {
	for _, f := range p.filters {
		if v := f.Filter.Filter(pod, node); !v.Fits() {
			return f.Filter, v
		}
	}
	return nil, plugin.Verdict{}
}

// static returns the first of the static filters that rejects a node, or fits, and its verdict.
func (p *profile) static(pod *plugin.Pod, node *plugin.Node) (int16, plugin.Verdict) {
	for i, f := range p.filters {
		if !f.static {
			continue
		}
		if v := f.Filter.Filter(pod, node); !v.Fits() {
			return int16(i), v
		}
	}
	return fits, plugin.Verdict{}
}

// dynamic returns the first filter that rejects a node, or fits, when static is the first of the static ones. Filters of areas
// are not asked.
func (p *profile) dynamic(pod *plugin.Pod, node *plugin.Node, static int16, verdict plugin.Verdict) (int16, plugin.Verdict) {
	for i, f := range p.filters {
		if int16(i) == static {
			return static, verdict
		}
		if f.static || f.area {
			continue
		}
		if v := f.Filter.Filter(pod, node); !v.Fits() {
			return int16(i), v
		}
	}
	return fits, plugin.Verdict{}
}

// highest returns the index of the highest total, of several equals any.
func highest(total []int64, dice *rand.Rand) int {
	best, ties := 0, 1
	for i := 1; i < len(total); i++ {
		switch {
		case total[i] > total[best]:
			best, ties = i, 1
		case total[i] == total[best]:
			// Each of n equals is kept with the chance of 1/n.
			if ties++; dice.IntN(ties) == 0 {
				best = i
			}
		}
	}
	return best
}

// totals scores nodes that fit against each other.
func (p *profile) totals(pod *plugin.Pod, fit []*plugin.Node) []int64 {
	total := make([]int64, len(fit))
	raw := make([]int64, len(fit))
	add := func(w plugin.Score, weight int64) {
		for i, node := range fit {
			raw[i] = w.Score(pod, node)
		}
		least, most := slices.Min(raw), slices.Max(raw)
		for i := range total {
			total[i] += weight * w.Normalize(raw[i], least, most)
		}
	}
	for _, w := range p.scores {
		add(w.Score, w.weight)
	}
	if pod.Signature == "" {
		for _, w := range p.LoneScores {
			add(w.Score, w.Weight)
		}
	}
	if len(p.areaScores) == 0 {
		return total
	}
	areas, ones := make([]plugin.Area, len(fit)), make([]int32, len(fit))
	for _, w := range p.areaScores {
		for i, node := range fit {
			areas[i], ones[i] = w.Area(pod, node), 1
		}
		w.ScoreAreas(pod, areas, ones, raw)
		for i := range total {
			total[i] += w.weight * raw[i]
		}
	}
	return total
}

// feasibleNodes is how many nodes that fit are enough to choose among: all up to 100, then a share that falls from 50 % to
// 5 % as clusters grow, never below 100 (upstream's numFeasibleNodesToFind).
func feasibleNodes(n int) int {
	const least = 100
	if n <= least {
		return n
	}
	percent := max(50-n/125, 5)
	return max(n*percent/100, least)
}

// pinned returns the one node that a pod's affinity allows by its name, as the pods of DaemonSets have it, if the pod fits there:
// the others need not be asked, which for a DaemonSet on n nodes spares n times n of them. Where it does not fit, "", a look at
// all nodes says why. It chooses as profile.cycle does, for which no other node fits either (TestPinnedPods).
func (p *profile) pinned(pod *plugin.Pod, s *snapshot) string {
	name := onlyNode(pod.Spec.Affinity)
	if name == "" || !slices.ContainsFunc(p.filters, func(f filter) bool { return f.Name() == plugin.NodeAffinity{}.Name() }) {
		return ""
	}
	i, there := s.place[name]
	if !there {
		return ""
	}
	if by, _ := p.admit(pod, s.nodes[i], s); by != nil {
		return ""
	}
	return name
}

// onlyNode is the name of the node that an affinity requires, "" if it leaves a choice.
func onlyNode(a *corev1.Affinity) string {
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	terms := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms) != 1 {
		return ""
	}
	for _, r := range terms[0].MatchFields {
		if r.Key == metav1.ObjectNameField && r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
			return r.Values[0]
		}
	}
	return ""
}

// outcome is what a cycle found: a node, or why there is none.
type outcome struct {
	node       string
	rejected   map[string][]string // node name -> reasons, of nodes that were looked at one by one; nil from a ranking
	resolvable []*plugin.Node      // of all nodes, those where preemption may help; valid until the next cycle
	by         []plugin.Rejecting  // the plugins that said no, each once
	nodes      int                 // nodes there are
	evaluated  int
	text       string // the message, when there is no node
	err        error  // what kept a plugin from judging; the message has it too
}

func (o *outcome) reject(node *plugin.Node, by plugin.Rejecting, v plugin.Verdict) {
	if o.rejected == nil {
		o.rejected = map[string][]string{}
	}
	o.rejected[node.Name] = v.Reasons
	o.by = addRejecting(o.by, by)
}

// addRejecting adds a plugin to a list that has each once.
func addRejecting(list []plugin.Rejecting, by plugin.Rejecting) []plugin.Rejecting {
	for _, known := range list {
		if known.Name() == by.Name() {
			return list
		}
	}
	return append(list, by)
}

// message says why there is no node.
func (o *outcome) message() string {
	counts := map[string]int{}
	for _, reasons := range o.rejected {
		for _, r := range reasons {
			counts[r]++
		}
	}
	return message(o.nodes, counts)
}

// message is upstream's: people and tools search for it. counts says of how many nodes a reason is true.
func message(nodes int, counts map[string]int) string {
	if nodes == 0 {
		return "no nodes available to schedule pods"
	}
	parts := make([]string, 0, len(counts))
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	sort.Strings(parts)
	return fmt.Sprintf("0/%d nodes are available: %s.", nodes, strings.Join(parts, ", "))
}
