package main

// Case is one configuration of scheduler_perf.
type Case struct {
	Name  string
	Steps []Step
	Sizes []Size
}

// Step is one operation. N, Each and Spaces are names of a size's parameters, or numbers.
type Step struct {
	Do      string   // nodes, spaces, pods, measure (pods, while time is taken), churn, attempted (wait), delete (pods of a namespace)
	N       string   // how many
	Kind    string   // of nodes or pods, in pods.go; of churn several, by commas
	In      string   // namespace; of spaces the prefix. "" is one of the step's own
	Zones   []string // nodes: values of the zone label, in turn
	Sets    string   // pods: so many namespaces with the prefix In get N each
	Volume  string   // pods: each has a claim, bound to a volume of this kind
	NoWait  bool     // pods: goes on without waiting until they are bound
	Millis  int      // churn: between two rounds
	Again   bool     // churn: removes what a round has made before the next
	Rate    int      // delete: so many a second, beside what follows
	Attach  string   // nodes: have a CSINode that allows so many volumes
	Feature string   // nodes: so many declared features
}

// Size is one workload of a case.
type Size struct {
	Name   string
	Params map[string]int
}

// sizes writes workloads of a case that has the parameters nodes, init and measure.
func sizes(list ...[3]int) []Size {
	names := []string{"small", "medium", "large", "huge"}
	var out []Size
	for i, s := range list {
		out = append(out, Size{names[i], map[string]int{"nodes": s[0], "init": s[1], "measure": s[2]}})
	}
	return out
}

var (
	twoSpaces = Step{Do: "spaces", N: "2", In: "sched"}
	oneZone   = Step{Do: "nodes", N: "nodes", Kind: "plain", Zones: []string{"zone1"}}
	moons     = Step{Do: "nodes", N: "nodes", Kind: "plain", Zones: []string{"moon-1", "moon-2", "moon-3"}}
	nodes     = Step{Do: "nodes", N: "nodes", Kind: "plain"}
	affine    = sizes([3]int{5, 5, 10}, [3]int{500, 500, 1000}, [3]int{5000, 5000, 1000}, [3]int{5000, 5000, 5000})
	spread    = sizes([3]int{5, 10, 10}, [3]int{500, 1000, 1000}, [3]int{5000, 5000, 2000}, [3]int{5000, 5000, 5000})
)

// pairs is the common form of cases: pods in one namespace, then as many as are measured in another.
func pairs(name string, first Step, before, measured string, list []Size) Case {
	return Case{name, []Step{first, twoSpaces, {Do: "pods", N: "init", Kind: before, In: "sched-0"}, {Do: "measure", N: "measure", Kind: measured, In: "sched-1"}}, list}
}

// teams is the form of cases whose terms select namespaces by a label.
func teams(name string, first Step, kind string, list []Size) Case {
	return Case{name, []Step{first, {Do: "spaces", N: "spaces", In: "init-ns"}, {Do: "spaces", N: "1", In: "measure-ns"},
		{Do: "pods", N: "init", Kind: kind, In: "init-ns", Sets: "spaces"}, {Do: "measure", N: "measure", Kind: kind, In: "measure-ns-0"}}, list}
}

// teamSizes writes workloads of teams: nodes, namespaces, pods in each, measured pods.
func teamSizes(list ...[4]int) []Size {
	out := sizes(make([][3]int, len(list))...)
	for i, s := range list {
		out[i].Params = map[string]int{"nodes": s[0], "spaces": s[1], "init": s[2], "measure": s[3]}
	}
	return out
}

// plain is the form of cases without namespaces of their own.
func plain(name string, first Step, before, measured string, list []Size) Case {
	return Case{name, []Step{first, {Do: "pods", N: "init", Kind: before}, {Do: "measure", N: "measure", Kind: measured}}, list}
}

// volumes is the form of cases whose pods each have a claim.
func volumes(name string, first Step, volume string, list []Size) Case {
	return Case{name, []Step{first, {Do: "pods", N: "init", Kind: "default", Volume: volume}, {Do: "measure", N: "measure", Kind: "default", Volume: volume}}, list}
}

// cases are all that are known, by upstream's names.
var cases = []Case{
	plain("SchedulingBasic", nodes, "default", "default", sizes([3]int{5, 5, 10}, [3]int{500, 500, 1000}, [3]int{5000, 1000, 10000}, [3]int{5000, 5000, 50000})),
	pairs("SchedulingPodAntiAffinity", nodes, "anti", "anti", sizes([3]int{5, 1, 4}, [3]int{500, 100, 400}, [3]int{5000, 1000, 1000}, [3]int{5000, 1000, 2000})),
	pairs("SchedulingPodMatchingAntiAffinity", nodes, "anti", "green", sizes([3]int{5, 1, 4}, [3]int{500, 100, 400}, [3]int{5000, 1000, 5000})),
	pairs("SchedulingPodAffinity", oneZone, "near", "near", affine),
	pairs("SchedulingPreferredPodAffinity", nodes, "rather-near", "rather-near", affine),
	pairs("SchedulingPreferredPodAntiAffinity", nodes, "rather-apart", "rather-apart", affine),
	plain("SchedulingNodeAffinity", oneZone, "zoned", "zoned", sizes([3]int{5, 5, 10}, [3]int{500, 500, 1000}, [3]int{5000, 5000, 1000}, [3]int{5000, 5000, 10000})),
	{"MixedSchedulingBasePod", []Step{oneZone, {Do: "spaces", N: "1", In: "sched"}, {Do: "pods", N: "init", Kind: "default", In: "sched-0"},
		{Do: "pods", N: "init", Kind: "near", In: "sched-0"}, {Do: "pods", N: "init", Kind: "anti", In: "sched-0"}, {Do: "pods", N: "init", Kind: "rather-near", In: "sched-0"},
		{Do: "pods", N: "init", Kind: "rather-apart", In: "sched-0"}, {Do: "measure", N: "measure", Kind: "default"}},
		sizes([3]int{5, 2, 10}, [3]int{500, 200, 1000}, [3]int{5000, 2000, 1000}, [3]int{5000, 2000, 5000})},
	teams("SchedulingRequiredPodAntiAffinityWithNSSelector", nodes, "anti-team", teamSizes([4]int{10, 2, 2, 6}, [4]int{500, 10, 4, 100}, [4]int{5000, 100, 40, 1000}, [4]int{6000, 100, 40, 2000})),
	teams("SchedulingPreferredAntiAffinityWithNSSelector", nodes, "rather-apart-team", teamSizes([4]int{10, 2, 2, 10}, [4]int{500, 10, 4, 100}, [4]int{5000, 100, 40, 1000}, [4]int{5000, 100, 40, 2000})),
	teams("SchedulingRequiredPodAffinityWithNSSelector", oneZone, "near-team", teamSizes([4]int{10, 2, 2, 10}, [4]int{500, 10, 4, 100}, [4]int{5000, 100, 50, 1000}, [4]int{5000, 100, 50, 2000})),
	teams("SchedulingPreferredAffinityWithNSSelector", nodes, "rather-near-team", teamSizes([4]int{10, 2, 2, 10}, [4]int{500, 10, 4, 100}, [4]int{5000, 100, 50, 1000}, [4]int{5000, 100, 50, 5000})),
	{"SchedulingGatedPodsWithPodAffinityImpactForThroughput", []Step{{Do: "nodes", N: "1", Kind: "named"}, {Do: "pods", N: "init", Kind: "gated-near", NoWait: true},
		{Do: "attempted"}, {Do: "measure", N: "measure", Kind: "labelled"}}, sizes([3]int{1, 10, 10}, [3]int{1, 1000, 2000}, [3]int{1, 10000, 20000})},
	{"HostPortConflict", []Step{nodes, {Do: "measure", N: "measure", Kind: "port"}}, sizes([3]int{10, 0, 10}, [3]int{1000, 0, 1000}, [3]int{20000, 0, 20000})},
	{"ResourceSaturation", []Step{nodes, {Do: "measure", N: "measure", Kind: "saturating"}}, sizes([3]int{10, 0, 10}, [3]int{1000, 0, 1000}, [3]int{20000, 0, 20000})},
	plain("PreemptionBasic", nodes, "low", "high", sizes([3]int{5, 20, 5}, [3]int{500, 2000, 500}, [3]int{1000, 4000, 1000})),
	{"PreemptionAsync", []Step{nodes, {Do: "pods", N: "init", Kind: "low"}, {Do: "churn", Kind: "high", Millis: 200}, {Do: "measure", N: "measure", Kind: "default"}},
		sizes([3]int{5, 20, 5}, [3]int{500, 2000, 500}, [3]int{5000, 20000, 5000})},
	{"Unschedulable", []Step{nodes, {Do: "pods", N: "init", Kind: "default"}, {Do: "churn", Kind: "vast", Millis: 200}, {Do: "measure", N: "measure", Kind: "default"}},
		sizes([3]int{5, 1, 10}, [3]int{500, 10, 1000}, [3]int{5000, 100, 10000}, [3]int{5000, 20000, 10000})},
	{"SchedulingDaemonset", []Step{{Do: "nodes", N: "1", Kind: "named"}, nodes, {Do: "measure", N: "measure", Kind: "pinned"}},
		sizes([3]int{5, 0, 10}, [3]int{1500, 0, 3000}, [3]int{15000, 0, 30000})},
	{"SchedulingWithMixedChurn", []Step{nodes, {Do: "churn", Kind: "node,vast,service", Millis: 1000, Again: true}, {Do: "measure", N: "measure", Kind: "default"}},
		sizes([3]int{10, 0, 100}, [3]int{1000, 0, 1000}, [3]int{5000, 0, 2000}, [3]int{5000, 0, 10000})},
	{"SchedulingWhileGated", []Step{{Do: "nodes", N: "1", Kind: "named"}, {Do: "pods", N: "init", Kind: "gated", NoWait: true}, {Do: "attempted"},
		{Do: "pods", N: "leaving", Kind: "light", In: "leaving"}, {Do: "delete", In: "leaving", Rate: 50}, {Do: "measure", N: "measure", Kind: "light"}},
		[]Size{{"small", map[string]int{"init": 10, "leaving": 10, "measure": 10}}, {"medium", map[string]int{"init": 1000, "leaving": 2000, "measure": 2000}}, {"large", map[string]int{"init": 10000, "leaving": 20000, "measure": 20000}}}},
	{"SchedulingDeletedPodsWithFinalizers", []Step{nodes, {Do: "pods", N: "init", Kind: "final", In: "leaving", NoWait: true}, {Do: "delete", In: "leaving", Rate: 100},
		{Do: "measure", N: "measure", Kind: "light"}}, sizes([3]int{10, 10, 10}, [3]int{1000, 1000, 1000}, [3]int{5000, 5000, 5000})},
	{"NodeDeclaredFeaturesEnabled", []Step{{Do: "nodes", N: "nodes", Kind: "large", Feature: "features"}, {Do: "pods", N: "init", Kind: "pod-level"}, {Do: "measure", N: "measure", Kind: "pod-level"}},
		[]Size{{"small", map[string]int{"nodes": 5, "features": 5, "measure": 10}}, {"medium", map[string]int{"nodes": 500, "features": 20, "init": 500, "measure": 5000}}, {"large", map[string]int{"nodes": 5000, "features": 20, "init": 5000, "measure": 50000}}}},
	{"StarvationIndependent", []Step{nodes, {Do: "spaces", N: "1", In: "starvation"}, {Do: "churn", Kind: "target", In: "starvation-0", Millis: 1000, Again: true, N: "600"},
		{Do: "pods", N: "init", Kind: "clogger", In: "starvation-0", NoWait: true}, {Do: "attempted"}, {Do: "measure", N: "measure", Kind: "victim", In: "starvation-0"}},
		sizes([3]int{10, 100, 50}, [3]int{1000, 1000, 50}, [3]int{10000, 10000, 500})},
	plain("TopologySpreading", moons, "default", "spread", spread),
	plain("PreferredTopologySpreading", moons, "default", "rather-spread", spread),
	{"DefaultTopologySpreading", []Step{moons, {Do: "service", In: "service-ns"}, {Do: "pods", N: "init", Kind: "default"}, {Do: "measure", N: "measure", Kind: "labelled", In: "service-ns"}},
		sizes([3]int{5, 10, 10}, [3]int{500, 1000, 1000}, [3]int{5000, 5000, 10000}, [3]int{5000, 5000, 50000})},
	{"SchedulingWithNodeInclusionPolicy", []Step{nodes, {Do: "nodes", N: "init", Kind: "tainted"}, {Do: "measure", N: "measure", Kind: "included"}},
		sizes([3]int{4, 1, 4}, [3]int{400, 100, 400}, [3]int{4000, 1000, 4000})},
	plain("SchedulingSecrets", nodes, "secret", "secret", sizes([3]int{5, 5, 10}, [3]int{500, 500, 1000}, [3]int{5000, 5000, 1000}, [3]int{5000, 1000, 10000})),
	volumes("SchedulingInTreePVs", nodes, "aws", sizes([3]int{5, 5, 10}, [3]int{500, 500, 1000}, [3]int{5000, 5000, 1000}, [3]int{5000, 1000, 2000})),
	volumes("SchedulingMigratedInTreePVs", Step{Do: "nodes", N: "nodes", Kind: "plain", Attach: "39"}, "aws", affine),
	volumes("SchedulingCSIPVs", Step{Do: "nodes", N: "nodes", Kind: "plain", Attach: "39"}, "csi", affine),
	{"PreemptionPVs", []Step{nodes, {Do: "pods", N: "init", Kind: "low"}, {Do: "measure", N: "measure", Kind: "high", Volume: "aws"}}, sizes([3]int{5, 20, 5}, [3]int{500, 2000, 500}, [3]int{1000, 4000, 1000})},
}
