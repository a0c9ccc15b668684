package scheduler

import "sampan.dev/internal/control/scheduler/plugin"

// weighted is a score and how much it counts.
type weighted struct {
	plugin.Score
	weight int64
}

// profile is what a cycle runs, in order: cheap filters that reject much come first. Weights are upstream's defaults
// (apis/config/v1/default_plugins.go).
type profile struct {
	filters []plugin.Filter
	scores  []weighted
}

func defaultProfile() profile {
	return profile{
		filters: []plugin.Filter{
			plugin.NodeUnschedulable{},
			plugin.NodeName{},
			plugin.TaintToleration{},
			plugin.NodeAffinity{},
			plugin.NodePorts{},
			plugin.Fit{},
		},
		scores: []weighted{
			{plugin.TaintToleration{}, 3},
			{plugin.NodeAffinity{}, 2},
			{plugin.Fit{}, 1},
			{plugin.Balanced{}, 1},
			{plugin.ImageLocality{}, 1},
		},
	}
}
