package scheduler

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/flag/flagtest"
)

func TestFlags(t *testing.T) {
	flagtest.Check(t, "kube-scheduler", func() flag.Table { return New().Table() })
	flagtest.Fields(t, "KubeSchedulerConfiguration", New().Table())
}

func TestFile(t *testing.T) {
	const head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
	for _, c := range []struct{ file, want string }{
		{head, ""},
		{head + "leaderElection: {leaderElect: false, leaseDuration: 20s}\nclientConnection: {kubeconfig: /x, qps: 20}\n", ""},
		{head + "leaderElection: {leaderElect: maybe}\n", "leaderElection.leaderElect"},
		{head + "extenders: [{urlPrefix: http://x, filterVerb: filter, prioritizeVerb: best, weight: 2, bindVerb: bind, preemptVerb: preempt, httpTimeout: 2s, nodeCacheCapable: true, ignorable: true, managedResources: [{name: example.com/gpu, ignoredByScheduler: true}]}]\n", ""},
		{head + "extenders: [{urlPrefix: http://x, prioritizeVerb: best}]\n", "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it"},
		{head + "extenders: [{urlPrefix: http://x, bindVerb: a}, {urlPrefix: http://y, bindVerb: b}]\n", `extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind`},
		{head + "extenders: [{urlPrefix: http://x, managedResources: [{name: cpu}]}]\n", `extenders[0].managedResources[0].name: Invalid value: "cpu": is an invalid extended resource name`},
		{head + "extenders: [{urlPrefix: http://x, managedResources: [{name: example.com/a}, {name: example.com/a}]}]\n", "duplicate extender managed resource name"},
		{head + "extenders: [{urlPrefix: https://x, enableHTTPS: true, tlsConfig: {caFile: /no/such/file}}]\n", "/no/such/file"},
		{head + "extenders: [{urlPrefix: https://x, tlsConfig: {insecure: true, caData: YQ==}}]\n", "specifying a root certificates file with the insecure flag is not allowed"},
		{head + "extenders: [{urlPrefix: http://x, verb: filter}]\n", `unknown field "verb"`},
		{head + "unheard: 1\n", `unknown field "unheard"`},
		{strings.Replace(head, "/v1", "/v1beta3", 1), "want a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1"},
		{head + "profiles: [{schedulerName: a}, {schedulerName: a}]\n", "Duplicate value"},
		{head + "profiles: [{schedulerName: a, plugins: {score: {disabled: [{name: '*'}], enabled: [{name: NodeAffinity, weight: 7}]}}}]\n", ""},
		{head + "profiles: [{plugins: {filter: {enabled: [{name: Nonesuch}]}}}]\n", `"Nonesuch" is not built`},
		{head + "profiles: [{plugins: {bind: {disabled: [{name: DefaultBinder}], enabled: [{name: DefaultBinder}]}, multiPoint: {enabled: [{name: SchedulingGates}]}}}]\n", ""},
		{head + "profiles: [{plugins: {bind: {disabled: [{name: DefaultBinder}]}}}]\n", "at least one bind plugin is needed for profile"},
		{head + "profiles: [{plugins: {filtre: {}}}]\n", `unknown field "filtre"`},
		{head + "profiles: [{pluginConfig: [{name: NodePorts}]}]\n", "takes no arguments"},
		{head + "profiles: [{pluginConfig: [{name: NodeResourcesFit}]}]\n", ""},
		{head + "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Best}}}]}]\n", `scoringStrategy.type: Unsupported value: "Best"`},
		{head + "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 101}]}}}]}]\n", "resource weight of cpu not in valid range (0, 100]"},
		{head + "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: RequestedToCapacityRatio}}}]}]\n", "must be specified when type is RequestedToCapacityRatio"},
		{head + "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 50, score: 1}, {utilization: 50, score: 11}]}}}}]}]\n", "values must be sorted in increasing order"},
		{head + "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {ignoredResourceGroups: [a/b]}}]}]\n", "resource group name can't contain '/'"},
		{head + "profiles: [{pluginConfig: [{name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu, weight: 2}]}}]}]\n", "must be 1"},
		{head + "profiles: [{pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Near}]}]}}}}]}]\n", "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution"},
		{head + "profiles: [{pluginConfig: [{name: VolumeBinding, args: {bindTimeoutSeconds: -1}}]}]\n", "should not be a negative value"},
		{head + "profiles: [{pluginConfig: [{name: VolumeBinding, args: {bindTimeoutSeconds: 60}}]}]\n", ""},
		{head + "profiles: [{pluginConfig: [{name: DynamicResources, args: {kind: DynamicResourcesArgs, filterTimeout: 0s, bindingTimeout: 1m}}]}]\n", ""},
		{head + "profiles: [{pluginConfig: [{name: DynamicResources, args: {filterTimeout: -1s}}]}]\n", "must be zero or positive"},
		{head + "profiles: [{pluginConfig: [{name: DynamicResources, args: {bindingTimeout: 999ms}}]}]\n", "must be at least 1 second"},
		{head + "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {kind: InterPodAffinityArgs, hardPodAffinityWeight: 5}}, {name: DefaultPreemption, args: {minCandidateNodesPercentage: 20}}]}]\n", ""},
		{head + "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]\n", "pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]"},
		{head + "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {weight: 1}}]}]\n", `unknown field "weight"`},
		{head + "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {kind: DefaultPreemptionArgs}}]}]\n", "were not of type InterPodAffinityArgs"},
		{head + "profiles: [{pluginConfig: [{name: DefaultPreemption, args: {minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}}]}]\n", "cannot be zero at the same time as minCandidateNodesAbsolute"},
		{head + "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}]}]\n", "when .defaultConstraints are not empty"},
		{head + "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 0, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}]}]\n", "not in valid range (0, inf)"},
		{head + "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}]}]\n", ""},
	} {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := New()
		table := cfg.Table()
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		table.Add(fs)
		err := flag.Parse(fs, []string{"--config", file, "--leader-elect-lease-duration=30s"})
		if err == nil {
			err = cfg.Read(table, fs)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.file, err, c.want)
		}
		if cfg.Lead.Duration.String() != "30s" {
			t.Errorf("%s: the lease lasts %v, the flag says 30s", c.file, cfg.Lead.Duration)
		}
	}
}

func TestProfiles(t *testing.T) {
	got, err := profiles([]Profile{{Plugins: map[string]PluginSet{
		"score":      {Disabled: []Plugin{{Name: "*"}}, Enabled: []Plugin{{Name: "NodeAffinity", Weight: 7}}},
		"filter":     {Disabled: []Plugin{{Name: "NodePorts"}}},
		"postFilter": {Disabled: []Plugin{{Name: "DefaultPreemption"}}},
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := got[0].Scores; len(s) != 1 || s[0].Name() != "NodeAffinity" || s[0].Weight != 7 {
		t.Errorf("scores: %+v", s)
	}
	if len(got[0].AreaScores)+len(got[0].LoneScores) > 0 {
		t.Errorf("%d other scores are there, and disabled", len(got[0].AreaScores)+len(got[0].LoneScores))
	}
	for _, f := range got[0].PostFilters {
		if f.Name() == "DefaultPreemption" {
			t.Error("preemption is there, and disabled")
		}
	}
	for _, f := range got[0].Filters {
		if f.Name() == "NodePorts" {
			t.Error("a filter that is disabled is there")
		}
	}
}
