package scheduler

import (
	"fmt"
	"math/rand/v2"
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
}

// cycle decides where pod should run. It is pure but for the order in which nodes take turns and for dice, which breaks
// ties.
func (p profile) cycle(pod *plugin.Pod, s *snapshot, dice *rand.Rand) outcome {
	out := outcome{nodes: len(s.nodes)}
	enough := feasibleNodes(len(s.nodes))
	var fits []*plugin.Node
	for i := range s.nodes {
		node := s.nodes[(s.start+i)%len(s.nodes)]
		out.evaluated++
		if f, reasons := p.filter(pod, node); reasons != nil {
			out.reject(node.Name, f, reasons)
			continue
		}
		if fits = append(fits, node); len(fits) >= enough {
			break
		}
	}
	if out.nodes > 0 {
		s.start = (s.start + out.evaluated) % out.nodes
	}
	switch len(fits) {
	case 0:
	case 1:
		out.node = fits[0].Name
	default:
		out.node = p.best(pod, fits, s, dice)
	}
	return out
}

func (p profile) filter(pod *plugin.Pod, node *plugin.Node) (plugin.Filter, []string) {
	for _, f := range p.filters {
		if reasons := f.Filter(pod, node); len(reasons) > 0 {
			return f, reasons
		}
	}
	return nil, nil
}

func (p profile) best(pod *plugin.Pod, fits []*plugin.Node, s *snapshot, dice *rand.Rand) string {
	cluster := plugin.Cluster{Nodes: len(s.nodes), ImageNodes: s.images}
	total := make([]int64, len(fits))
	scores := make([]int64, len(fits))
	for _, w := range p.scores {
		for i, node := range fits {
			scores[i] = w.Score.Score(pod, node, cluster)
		}
		w.Normalize(scores)
		for i := range total {
			total[i] += w.weight * scores[i]
		}
	}
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
	return fits[best].Name
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

// message is upstream's: people and tools search for it.
func (o *outcome) message() string {
	if o.nodes == 0 {
		return "no nodes available to schedule pods"
	}
	counts := map[string]int{}
	for _, reasons := range o.rejected {
		for _, r := range reasons {
			counts[r]++
		}
	}
	parts := make([]string, 0, len(counts))
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	sort.Strings(parts)
	return fmt.Sprintf("0/%d nodes are available: %s.", o.nodes, strings.Join(parts, ", "))
}
