package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/control/scheduler/plugin"
)

// Profile is one KubeSchedulerProfile.
type Profile struct {
	SchedulerName            string               `json:"schedulerName"`
	PercentageOfNodesToScore *int32               `json:"percentageOfNodesToScore,omitempty"`
	Plugins                  map[string]PluginSet `json:"plugins,omitempty"` // by extension point
	PluginConfig             []PluginConfig       `json:"pluginConfig,omitempty"`
}

// PluginSet says what joins and what leaves the default plugins of one extension point.
type PluginSet struct {
	Enabled  []Plugin `json:"enabled,omitempty"`
	Disabled []Plugin `json:"disabled,omitempty"` // "*" is all
}

// Plugin is one, by upstream's name.
type Plugin struct {
	Name   string `json:"name"`
	Weight int64  `json:"weight,omitempty"`
}

// points are the extension points that a profile may name.
var points = []string{"preEnqueue", "queueSort", "preFilter", "filter", "postFilter", "preScore", "score", "reserve", "permit", "preBind", "bind",
	"postBind", "multiPoint", "placementGenerate", "placementScore", "podGroupPostFilter"}

// profiles makes what the scheduler runs of the file's.
func profiles(file []Profile) ([]scheduler.Profile, error) {
	var out []scheduler.Profile
	seen := map[string]bool{}
	for i, p := range file {
		name := cmp.Or(p.SchedulerName, "default-scheduler")
		if seen[name] {
			return nil, fmt.Errorf("profiles[%d].schedulerName: Duplicate value: %q", i, name)
		}
		seen[name] = true
		made, err := p.make(name)
		if err != nil {
			return nil, fmt.Errorf("profiles[%d]%w", i, err)
		}
		out = append(out, made)
	}
	return out, nil
}

func (p *Profile) make(name string) (scheduler.Profile, error) {
	args, err := arguments(p.PluginConfig)
	if err != nil {
		return scheduler.Profile{}, fmt.Errorf(".%w", err)
	}
	out := scheduler.ProfileWith(args)
	out.Name = name
	for _, point := range slices.Sorted(maps.Keys(p.Plugins)) {
		set := p.Plugins[point]
		if !slices.Contains(points, point) {
			return out, fmt.Errorf(".plugins: strict decoding error: unknown field %q", point)
		}
		for _, enabled := range set.Enabled {
			if !has(out, enabled.Name) && !has(scheduler.DefaultProfile(), enabled.Name) {
				return out, fmt.Errorf(".plugins.%s.enabled: plugin %q is not built", point, enabled.Name)
			}
		}
		if point == "filter" || point == "multiPoint" {
			out.Filters = choose(out.Filters, set, func(f plugin.Filter) string { return f.Name() })
		}
		if point == "postFilter" || point == "multiPoint" {
			out.PostFilters = choose(out.PostFilters, set, func(f plugin.PostFilter) string { return f.Name() })
		}
		if point == "score" || point == "multiPoint" {
			out.AreaScores = choose(out.AreaScores, set, func(w scheduler.WeightedArea) string { return w.Name() })
			for i := range out.AreaScores {
				for _, e := range set.Enabled {
					if e.Name == out.AreaScores[i].Name() && e.Weight != 0 {
						out.AreaScores[i].Weight = e.Weight
					}
				}
			}
			out.Scores = choose(out.Scores, set, func(w scheduler.Weighted) string { return w.Name() })
			for i := range out.Scores {
				for _, e := range set.Enabled {
					if e.Name == out.Scores[i].Name() && e.Weight != 0 {
						out.Scores[i].Weight = e.Weight
					}
				}
			}
		}
	}
	return out, nil
}

// has reports whether a profile has a plugin of that name in any list that can be chosen from.
func has(p scheduler.Profile, name string) bool {
	return slices.ContainsFunc(p.Filters, func(f plugin.Filter) bool { return f.Name() == name }) ||
		slices.ContainsFunc(p.Scores, func(w scheduler.Weighted) bool { return w.Name() == name }) ||
		slices.ContainsFunc(p.AreaScores, func(w scheduler.WeightedArea) bool { return w.Name() == name }) ||
		slices.ContainsFunc(p.PostFilters, func(f plugin.PostFilter) bool { return f.Name() == name })
}

// choose leaves out what is disabled and not enabled again. The order stays: it is the one in which asking is cheapest.
func choose[T any](list []T, set PluginSet, name func(T) string) []T {
	names := func(of []Plugin, n string) bool {
		return slices.ContainsFunc(of, func(p Plugin) bool { return p.Name == n })
	}
	return slices.DeleteFunc(list, func(one T) bool {
		n := name(one)
		return (names(set.Disabled, n) || names(set.Disabled, "*")) && !names(set.Enabled, n)
	})
}
