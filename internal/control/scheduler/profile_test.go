package scheduler

import (
	"slices"
	"testing"

	"sampan.dev/internal/api/unbuilt"
)

// Every plugin that upstream's scheduler has on by default is in the profile, is a part of the queue or of binding, or stands
// on the list of what is not built; none is in two places.
func TestDefaultPlugins(t *testing.T) {
	upstream := []string{ // pkg/scheduler/apis/config/v1/default_plugins.go, v1.37
		"SchedulingGates", "PrioritySort", "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit",
		"VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread", "InterPodAffinity", "DefaultPreemption",
		"NodeResourcesBalancedAllocation", "ImageLocality", "DefaultBinder", "DynamicResources", "NodeDeclaredFeatures",
	}
	have := []string{"SchedulingGates", "PrioritySort", "DefaultBinder"} // queue.go and bind.go
	p := DefaultProfile()
	for _, f := range p.Filters {
		have = append(have, f.Name())
	}
	for _, f := range p.PostFilters {
		have = append(have, f.Name())
	}
	for _, s := range p.Scores {
		have = append(have, s.Name())
	}
	for _, name := range upstream {
		built, listed := slices.Contains(have, name), slices.Contains(unbuilt.SchedulerPlugins, name)
		if built == listed {
			t.Errorf("%s: in the profile %v, on the list of what is not built %v", name, built, listed)
		}
	}
	for _, name := range slices.Concat(have, unbuilt.SchedulerPlugins) {
		if !slices.Contains(upstream, name) {
			t.Errorf("%s is no default plugin of upstream's", name)
		}
	}
}
