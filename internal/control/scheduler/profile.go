package scheduler

import (
	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// Profile is the plugins that place the pods of one schedulerName, in the order in which they are asked. A plugin that takes
// part in several steps stands in several lists, as the same value. Profiles share no plugin that is an Index.
type Profile struct {
	Name        string // "" means default-scheduler
	PreFilters  []plugin.PreFilter
	Filters     []plugin.Filter
	PostFilters []plugin.PostFilter
	Scores      []Weighted
	Reserves    []plugin.Reserve
	Permits     []plugin.Permit
	PreBinds    []plugin.PreBind
}

// Weighted is a score and how much it counts.
type Weighted struct {
	plugin.Score
	Weight int64
}

// DefaultProfile is the literal list: cheap filters that reject much come first. Weights are upstream's defaults
// (apis/config/v1/default_plugins.go).
func DefaultProfile() Profile {
	return Profile{
		Filters: []plugin.Filter{
			plugin.NodeUnschedulable{},
			plugin.NodeName{},
			plugin.TaintToleration{},
			plugin.NodeAffinity{},
			plugin.NodePorts{},
			plugin.Fit{},
		},
		Scores: []Weighted{
			{plugin.TaintToleration{}, 3},
			{plugin.NodeAffinity{}, 2},
			{plugin.Fit{}, 1},
			{plugin.Balanced{}, 1},
			{plugin.NewImageLocality(), 1},
		},
	}
}

// profile is a Profile with what follows from its lists worked out. It belongs to the scheduler's goroutine.
type profile struct {
	Profile
	filters []filter
	scores  []weighted
	signed  []plugin.Signed // filters and scores, each once
	indexes []plugin.Index  // all plugins that are one, each once
	events  plugin.Event    // that any plugin asks for
	signer  plugin.Signer
}

// filter is a filter of a profile.
type filter struct {
	plugin.Filter
	static bool
}

// weighted is a score of a profile.
type weighted struct {
	plugin.Score
	weight int64
	static bool
}

func newProfile(lists Profile) *profile {
	p := &profile{Profile: lists}
	if p.Name == "" {
		p.Name = corev1.DefaultSchedulerName
	}
	seen := map[string]bool{}
	for _, f := range p.Filters {
		_, static := f.(plugin.Static)
		p.filters = append(p.filters, filter{f, static})
		p.events |= f.Events()
		p.take(f, seen)
	}
	for _, w := range p.Scores {
		_, static := w.Score.(plugin.Static)
		p.scores = append(p.scores, weighted{w.Score, w.Weight, static})
		p.take(w.Score, seen)
	}
	for _, f := range p.PreFilters {
		p.events |= f.Events()
		p.take(f, seen)
	}
	for _, f := range p.Permits {
		p.events |= f.Events()
		p.take(f, seen)
	}
	for _, f := range p.PostFilters {
		p.take(f, seen)
	}
	for _, r := range p.Reserves {
		p.take(r, seen)
	}
	for _, b := range p.PreBinds {
		p.take(b, seen)
	}
	return p
}

// take notes a plugin that signs or is an index, the first time that it comes.
func (p *profile) take(one plugin.Plugin, seen map[string]bool) {
	if seen[one.Name()] {
		return
	}
	seen[one.Name()] = true
	if signed, ok := one.(plugin.Signed); ok {
		p.signed = append(p.signed, signed)
	}
	if index, ok := one.(plugin.Index); ok {
		p.indexes = append(p.indexes, index)
	}
}

// newPod works out what the plugins need of a pod that waits for a node, and signs it.
func (p *profile) newPod(obj *corev1.Pod) *plugin.Pod {
	pod := plugin.NewPod(obj)
	pod.Signature = p.signer.Sign(pod, p.signed)
	return pod
}

// tell lets the profile's indexes know of a pod that was put on a node or taken off.
func (p *profile) tell(pod *plugin.Pod, node *plugin.Node, sign int) {
	for _, x := range p.indexes {
		x.Pod(pod, node, sign)
	}
}
