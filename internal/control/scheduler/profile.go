package scheduler

import "sampan.dev/internal/control/scheduler/plugin"

// filter is a filter of a profile.
type filter struct {
	plugin.Filter
	static bool
}

// weighted is a score and how much it counts.
type weighted struct {
	plugin.Score
	weight int64
	static bool
}

// profile is what a cycle runs, in order.
type profile struct {
	filters []filter
	scores  []weighted
}

// defaultProfile is the literal list: cheap filters that reject much come first. Weights are upstream's defaults
// (apis/config/v1/default_plugins.go).
func defaultProfile() *profile {
	p := &profile{
		filters: []filter{
			{Filter: plugin.NodeUnschedulable{}},
			{Filter: plugin.NodeName{}},
			{Filter: plugin.TaintToleration{}},
			{Filter: plugin.NodeAffinity{}},
			{Filter: plugin.NodePorts{}},
			{Filter: plugin.Fit{}},
		},
		scores: []weighted{
			{Score: plugin.TaintToleration{}, weight: 3},
			{Score: plugin.NodeAffinity{}, weight: 2},
			{Score: plugin.Fit{}, weight: 1},
			{Score: plugin.Balanced{}, weight: 1},
			{Score: plugin.ImageLocality{}, weight: 1},
		},
	}
	for i := range p.filters {
		_, p.filters[i].static = p.filters[i].Filter.(plugin.Static)
	}
	for i := range p.scores {
		_, p.scores[i].static = p.scores[i].Score.(plugin.Static)
	}
	return p
}
