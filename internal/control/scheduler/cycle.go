package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"sampan.dev/internal/control/scheduler/plugin"
)

// outcome is what a cycle found: a node, or why there is none.
type outcome struct {
	node      string
	rejected  map[string][]string // node name -> reasons; only nodes that were looked at
	by        []plugin.Plugin     // the plugins that rejected any node, each once
	nodes     int                 // nodes there are
	evaluated int
	text      string // the message, when there is no node
}

// cycle decides where pod should run, looking at nodes one by one. It is pure but for the order in which nodes take turns
// and for dice, which breaks ties.
func (p *profile) cycle(pod *plugin.Pod, s *snapshot, dice *rand.Rand) outcome {
	out := outcome{nodes: len(s.nodes)}
	enough := feasibleNodes(len(s.nodes))
	var fit []*plugin.Node
	for i := range s.nodes {
		node := s.nodes[(s.start+i)%len(s.nodes)]
		out.evaluated++
		if f, reasons := p.filter(pod, node); reasons != nil {
			out.reject(node.Name, f, reasons)
			continue
		}
		if fit = append(fit, node); len(fit) >= enough {
			break
		}
	}
	if out.nodes > 0 {
		s.start = (s.start + out.evaluated) % out.nodes
	}
	switch len(fit) {
	case 0:
		out.text = out.message()
	case 1:
		out.node = fit[0].Name
	default:
		out.node = p.best(pod, fit, s, dice)
	}
	return out
}

func (p *profile) filter(pod *plugin.Pod, node *plugin.Node) (plugin.Filter, []string) {
	for _, f := range p.filters {
		if reasons := f.Filter.Filter(pod, node); len(reasons) > 0 {
			return f.Filter, reasons
		}
	}
	return nil, nil
}

// static returns the first of the static filters that rejects a node, or fits, and its reasons.
func (p *profile) static(pod *plugin.Pod, node *plugin.Node) (int16, []string) {
	for i, f := range p.filters {
		if !f.static {
			continue
		}
		if reasons := f.Filter.Filter(pod, node); len(reasons) > 0 {
			return int16(i), reasons
		}
	}
	return fits, nil
}

// dynamic returns the first of all filters that rejects a node, or fits, when static is the first of the static ones.
func (p *profile) dynamic(pod *plugin.Pod, node *plugin.Node, static int16, statics []string) (int16, []string) {
	for i, f := range p.filters {
		if int16(i) == static {
			return static, statics
		}
		if f.static {
			continue
		}
		if reasons := f.Filter.Filter(pod, node); len(reasons) > 0 {
			return int16(i), reasons
		}
	}
	return fits, nil
}

func (p *profile) best(pod *plugin.Pod, fit []*plugin.Node, s *snapshot, dice *rand.Rand) string {
	total := p.totals(pod, fit, s.cluster())
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
	return fit[best].Name
}

// totals scores nodes that fit against each other.
func (p *profile) totals(pod *plugin.Pod, fit []*plugin.Node, cluster plugin.Cluster) []int64 {
	total := make([]int64, len(fit))
	raw := make([]int64, len(fit))
	for _, w := range p.scores {
		for i, node := range fit {
			raw[i] = w.Score.Score(pod, node, cluster)
		}
		least, most := slices.Min(raw), slices.Max(raw)
		for i := range total {
			total[i] += w.weight * w.Normalize(raw[i], least, most)
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

func (o *outcome) reject(node string, by plugin.Filter, reasons []string) {
	if o.rejected == nil {
		o.rejected = map[string][]string{}
	}
	o.rejected[node] = reasons
	for _, known := range o.by {
		if known.Name() == by.Name() {
			return
		}
	}
	o.by = append(o.by, by)
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
