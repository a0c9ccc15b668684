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

// profiles makes what the scheduler runs of the file's. ignored are resources that NodeResourcesFit leaves to extenders, in the place of
// those of its arguments; none leaves the arguments as they are.
func profiles(file []Profile, ignored []string) ([]scheduler.Profile, error) {
	if len(file) == 0 && len(ignored) > 0 {
		file = []Profile{{}}
	}
	var out []scheduler.Profile
	seen := map[string]bool{}
	for i, p := range file {
		name := cmp.Or(p.SchedulerName, "default-scheduler")
		if seen[name] {
			return nil, fmt.Errorf("profiles[%d].schedulerName: Duplicate value: %q", i, name)
		}
		seen[name] = true
		made, err := p.make(name, ignored)
		if err != nil {
			return nil, fmt.Errorf("profiles[%d]%w", i, err)
		}
		out = append(out, made)
	}
	return out, nil
}

func (p *Profile) make(name string, ignored []string) (scheduler.Profile, error) {
	args, err := arguments(p.PluginConfig)
	if err != nil {
		return scheduler.Profile{}, fmt.Errorf(".%w", err)
	}
	if len(ignored) > 0 {
		args.Fit.IgnoredResources = ignored
	}
	out := scheduler.ProfileWith(args)
	out.Name = name
	for _, point := range slices.Sorted(maps.Keys(p.Plugins)) {
		set := p.Plugins[point]
		if !slices.Contains(points, point) {
			return out, fmt.Errorf(".plugins: strict decoding error: unknown field %q", point)
		}
		for _, enabled := range set.Enabled {
			if !scheduler.Has(enabled.Name) {
				return out, fmt.Errorf(".plugins.%s.enabled: plugin %q is not built", point, enabled.Name)
			}
		}
		apply(&out, point, set)
		if left := without[point]; len(set.Enabled) == 0 && left.plugin != "" && names(set.Disabled, left.plugin) {
			return out, fmt.Errorf(": %s", fmt.Sprintf(left.says, name))
		}
	}
	return out, nil
}

// without is what is wrong with a profile that disables the only plugin of a point.
var without = map[string]struct{ plugin, says string }{
	"queueSort": {"PrioritySort", "only one queue sort plugin required for profile with scheduler name %q, but got 0"},
	"bind":      {"DefaultBinder", "at least one bind plugin is needed for profile with scheduler name %q"},
}

// apply takes what a set disables out of the lists of one point, or of all.
func apply(out *scheduler.Profile, point string, set PluginSet) {
	at := func(p string) bool { return p == point || point == "multiPoint" }
	if at("preEnqueue") {
		out.PreEnqueues = choose(out.PreEnqueues, set)
	}
	if at("preFilter") {
		out.PreFilters = choose(out.PreFilters, set)
	}
	if at("filter") {
		out.Filters = choose(out.Filters, set)
	}
	if at("postFilter") {
		out.PostFilters = choose(out.PostFilters, set)
	}
	if at("reserve") {
		out.Reserves = choose(out.Reserves, set)
	}
	if at("permit") {
		out.Permits = choose(out.Permits, set)
	}
	if at("preBind") {
		out.PreBinds = choose(out.PreBinds, set)
	}
	if at("score") {
		out.AreaScores, out.Scores, out.LoneScores = choose(out.AreaScores, set), choose(out.Scores, set), choose(out.LoneScores, set)
		for i, w := range out.AreaScores {
			out.AreaScores[i].Weight = weight(w.Weight, w.Name(), set)
		}
		for _, list := range [][]scheduler.Weighted{out.Scores, out.LoneScores} {
			for i, w := range list {
				list[i].Weight = weight(w.Weight, w.Name(), set)
			}
		}
	}
}

// weight is how much a score counts: what the set says of it, which is 1 where it says nothing, or as it is.
func weight(is int64, name string, set PluginSet) int64 {
	for _, e := range set.Enabled {
		if e.Name == name {
			return cmp.Or(e.Weight, 1)
		}
	}
	return is
}

// choose leaves out what is disabled and not enabled again. The order stays: it is the one in which asking is cheapest.
func choose[T plugin.Plugin](list []T, set PluginSet) []T {
	return slices.DeleteFunc(list, func(one T) bool {
		n := one.Name()
		return (names(set.Disabled, n) || names(set.Disabled, "*")) && !names(set.Enabled, n)
	})
}

// names reports whether a plugin is in a list.
func names(of []Plugin, name string) bool {
	return slices.ContainsFunc(of, func(p Plugin) bool { return p.Name == name })
}
