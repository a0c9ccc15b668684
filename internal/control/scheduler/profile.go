package scheduler

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sampan.dev/internal/control/scheduler/device"
	"sampan.dev/internal/control/scheduler/plugin"
	"sampan.dev/internal/control/scheduler/preempt"
	"sampan.dev/internal/control/scheduler/topology"
	"sampan.dev/internal/control/scheduler/volume"
)

// Profile is the plugins that place the pods of one schedulerName, in the order in which they are asked. A plugin that takes
// part in several steps stands in several lists, as the same value. Profiles share no plugin that is an Index.
type Profile struct {
	Name        string // "" means default-scheduler
	PreEnqueues []plugin.PreEnqueue
	PreFilters  []plugin.PreFilter
	Filters     []plugin.Filter
	PostFilters []plugin.PostFilter
	Scores      []Weighted
	AreaScores  []WeightedArea
	LoneScores  []Weighted // are 0 for every pod with a signature
	Reserves    []plugin.Reserve
	Permits     []plugin.Permit
	PreBinds    []plugin.PreBind
	// Storage is what its plugins see of claims and volumes. New fills it in; nil where no plugin needs it.
	Storage *volume.Storage
	// Devices is what they see of claims of devices.
	Devices *device.Cluster
}

// Weighted is a score and how much it counts.
type Weighted struct {
	plugin.Score
	Weight int64
}

// WeightedArea is a score of areas and how much it counts.
type WeightedArea struct {
	plugin.AreaScore
	Weight int64
}

// DefaultProfile is the literal list: cheap filters that reject much come first. Weights are upstream's defaults
// (apis/config/v1/default_plugins.go).
func DefaultProfile() Profile { return ProfileWith(DefaultArgs()) }

// Args are the settings of plugins that have any.
type Args struct {
	Spread     topology.SpreadArgs
	Affinity   topology.AffinityArgs
	Preemption preempt.Args
	Devices    device.Args
	Fit        plugin.Strategy
	Balanced   []corev1.ResourceName // nil: CPU and memory
	Affine     plugin.NodeAffinity   // with what it adds to the affinity of every pod
	BindWithin time.Duration         // that VolumeBinding waits for volumes to be bound
}

// DefaultArgs are upstream's defaults.
func DefaultArgs() Args {
	return Args{Spread: topology.SystemDefault(), Affinity: topology.AffinityArgs{HardPodAffinityWeight: 1}, Preemption: preempt.Defaults(), Devices: device.Defaults(),
		BindWithin: volume.BindWithin}
}

// Has reports whether there is a plugin of that name. Four are part of the frame itself: the order of the queue, gates, gangs (where
// they are on), and the binding.
func Has(name string) bool {
	switch name {
	case "PrioritySort", "SchedulingGates", "GangScheduling", "DefaultBinder":
		return true
	}
	p := newProfile(DefaultProfile())
	return p.seen[name]
}

// ProfileWith is the default profile with other settings.
func ProfileWith(args Args) Profile {
	spread, affinity := topology.NewPodTopologySpread(args.Spread), topology.NewInterPodAffinity(args.Affinity)
	storage := &volume.Storage{}
	restrictions, binding, zone := volume.NewRestrictions(storage), volume.NewBinding(storage, args.BindWithin), volume.NewZone(storage)
	fit, balanced, affine := plugin.NewFit(args.Fit), plugin.NewBalanced(args.Balanced...), args.Affine
	args.Preemption.Fit = fit
	cluster := &device.Cluster{}
	devices := device.New(args.Devices, cluster)
	return Profile{
		Storage:     storage,
		Devices:     cluster,
		PreEnqueues: []plugin.PreEnqueue{devices},
		PreFilters:  []plugin.PreFilter{restrictions, binding, zone, devices},
		Filters: []plugin.Filter{
			plugin.NodeUnschedulable{},
			plugin.NodeName{},
			plugin.TaintToleration{},
			affine,
			plugin.NodePorts{},
			fit,
			restrictions,
			volume.NewLimits(storage),
			binding,
			zone,
			spread,
			affinity,
			devices,
			plugin.NodeDeclaredFeatures{},
		},
		PostFilters: []plugin.PostFilter{devices, preempt.New(args.Preemption)},
		Reserves:    []plugin.Reserve{binding, devices},
		PreBinds:    []plugin.PreBind{binding, devices},
		Scores: []Weighted{
			{plugin.TaintToleration{}, 3},
			{affine, 2},
			{fit, 1},
			{balanced, 1},
			{plugin.NewImageLocality(), 1},
		},
		AreaScores: []WeightedArea{
			{spread, 2},
			{affinity, 2},
		},
		LoneScores: []Weighted{{devices, 2}},
	}
}

// profile is a Profile with what follows from its lists worked out. It belongs to the scheduler's goroutine.
type profile struct {
	Profile
	filters []filter
	scores  []weighted
	signed  []plugin.Signed // filters and scores, each once
	indexes []plugin.Index  // all plugins that are one, each once
	judging []plugin.Index  // of them, those that are told what is only supposed: all but those of PostFilters alone
	dated   []plugin.Dated
	seen    map[string]bool // names of plugins
	events  plugin.Event    // that any plugin asks for
	signer  plugin.Signer

	areals      []plugin.Areal // each once
	areaFilters []areaFilter   // in the order of filters
	areaScores  []areaScore
	firstArea   int // the place of the first of areaFilters; behind all filters when there is none
}

// areaFilter is a filter of areas, its place among all filters, and that in the profile's areal plugins.
type areaFilter struct {
	plugin.AreaFilter
	place, areal int
}

// areaScore is a score of areas, and its place in the profile's areal plugins.
type areaScore struct {
	plugin.AreaScore
	weight int64
	areal  int
}

// filter is a filter of a profile.
type filter struct {
	plugin.Filter
	static bool
	area   bool // it judges the node's area
}

// weighted is a score of a profile.
type weighted struct {
	plugin.Score
	weight           int64
	static, absolute bool
}

func newProfile(lists Profile) *profile {
	p := &profile{Profile: lists}
	if p.Name == "" {
		p.Name = corev1.DefaultSchedulerName
	}
	seen := map[string]bool{}
	p.seen = seen
	p.firstArea = len(p.Filters)
	for i, f := range p.Filters {
		_, static := f.(plugin.Static)
		area, judges := f.(plugin.AreaFilter)
		p.filters = append(p.filters, filter{f, static, judges})
		p.events |= f.Events()
		p.take(f, seen)
		if judges {
			p.firstArea = min(p.firstArea, i)
			p.areaFilters = append(p.areaFilters, areaFilter{area, i, p.areal(area)})
		}
	}
	for _, w := range p.Scores {
		_, static := w.Score.(plugin.Static)
		_, absolute := w.Score.(plugin.Absolute)
		p.scores = append(p.scores, weighted{w.Score, w.Weight, static, absolute})
		p.take(w.Score, seen)
	}
	for _, w := range p.AreaScores {
		p.areaScores = append(p.areaScores, areaScore{w.AreaScore, w.Weight, p.areal(w.AreaScore)})
		p.take(w.AreaScore, seen)
	}
	for _, f := range p.PreEnqueues {
		p.events |= f.Events()
		p.take(f, seen)
	}
	for _, f := range p.PreFilters {
		p.events |= f.Events()
		p.take(f, seen)
	}
	for _, f := range p.Permits {
		p.events |= f.Events()
		p.take(f, seen)
	}
	for _, r := range p.Reserves {
		p.take(r, seen)
	}
	for _, b := range p.PreBinds {
		p.take(b, seen)
	}
	p.judging = slices.Clone(p.indexes)
	for _, f := range p.PostFilters {
		p.take(f, seen)
	}
	return p
}

// areal returns a plugin's place among the areal ones.
func (p *profile) areal(one plugin.Areal) int {
	i := slices.IndexFunc(p.areals, func(known plugin.Areal) bool { return known.Name() == one.Name() })
	if i < 0 {
		i = len(p.areals)
		p.areals = append(p.areals, one)
	}
	return i
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
	if dated, ok := one.(plugin.Dated); ok {
		p.dated = append(p.dated, dated)
	}
}

// newPod works out what the plugins need of a pod that waits for a node, and signs it.
func (p *profile) newPod(obj *corev1.Pod) *plugin.Pod {
	pod := plugin.NewPod(obj)
	p.sign(pod, p.epoch())
	return pod
}

// sign signs a pod. A plugin may begin a new epoch by seeing the pod, and then the others' part is signed in it, too.
func (p *profile) sign(pod *plugin.Pod, epoch uint64) {
	pod.Signature, pod.Epoch = p.signer.Sign(pod, p.signed), epoch
	if now := p.epoch(); now != epoch {
		pod.Signature, pod.Epoch = p.signer.Sign(pod, p.signed), now
	}
}

// epoch counts what makes signatures old.
func (p *profile) epoch() uint64 {
	var n uint64
	for _, d := range p.dated {
		n += d.Epoch()
	}
	return n
}

// early returns the plugin that keeps a pod from being tried, if one does.
func (p *profile) early(pod *plugin.Pod) plugin.Rejecting {
	for _, f := range p.PreEnqueues {
		if v := f.PreEnqueue(pod); !v.Fits() {
			return f
		}
	}
	return nil
}

// suppose lets the profile's indexes suppose that a pod was put on a node or taken off.
func (p *profile) suppose(pod *plugin.Pod, node *plugin.Node, sign int) {
	for _, x := range p.judging {
		x.Pod(pod, node, sign)
	}
}

// steady implements preempt.Hands: areas must not matter to the pod, and the version is that of the filters' other indexes.
func (p *profile) steady(pod *plugin.Pod) (version uint64, ok bool) {
	if pod.Signature == "" {
		return 0, false
	}
	for _, f := range p.filters {
		if f.area {
			if one, can := f.Filter.(plugin.Indifferent); !can || !one.Indifferent(pod) {
				return 0, false
			}
		} else if index, is := f.Filter.(plugin.Index); is {
			_, now, _ := index.Since(pod, 0)
			version = version*1000003 + now
		}
	}
	return version, true
}
