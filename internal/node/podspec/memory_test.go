package podspec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api/pods/podtest"
	"sampan.dev/internal/node/cgroup"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestMemoryRules(t *testing.T) {
	const mi = int64(1 << 20)
	host := MemoryHost{Unified: true, Swappable: true, Total: 1024 * mi, Swap: 512 * mi, Allocatable: 900 * mi}
	critical := int32(2000000000)
	for name, c := range map[string]struct {
		rules            MemoryRules
		host             MemoryHost
		requests, limits string
		priority         *int32
		want             string
	}{
		"default":                        {host: host, limits: "memory=64Mi", want: "low:0 min:0 oom.group:1 swap.max:0"},
		"version 1":                      {host: MemoryHost{Swappable: true}, limits: "memory=64Mi", want: "memsw:67108864"},
		"version 1 without swap limits":  {limits: "memory=64Mi", want: ""},
		"no swap limits":                 {host: MemoryHost{Unified: true}, want: "low:0 min:0 oom.group:1"},
		"one process":                    {rules: MemoryRules{OneProcess: true}, host: host, want: "low:0 min:0 swap.max:0"},
		"gate off":                       {rules: MemoryRules{Off: true, Tiered: true, Throttle: 0.9}, host: host, requests: "memory=1Mi", want: "high:max oom.group:1 swap.max:0"},
		"guaranteed kept":                {rules: MemoryRules{Tiered: true}, host: host, requests: "cpu=1,memory=64Mi", limits: "cpu=1,memory=64Mi", want: "min:67108864 oom.group:1 swap.max:0"},
		"burstable kept":                 {rules: MemoryRules{Tiered: true}, host: host, requests: "memory=32Mi", limits: "memory=64Mi", want: "low:33554432 oom.group:1 swap.max:0"},
		"best effort kept":               {rules: MemoryRules{Tiered: true}, host: host, want: "low:0 min:0 oom.group:1 swap.max:0"},
		"throttled below limit":          {rules: MemoryRules{Throttle: 0.5}, host: host, requests: "memory=32Mi", limits: "memory=64Mi", want: "high:50331648 low:0 min:0 oom.group:1 swap.max:0"},
		"throttled below allocatable":    {rules: MemoryRules{Throttle: 0.5}, host: host, want: "high:471859200 low:0 min:0 oom.group:1 swap.max:0"},
		"no room between":                {rules: MemoryRules{Throttle: 0.5}, host: host, requests: "memory=64Mi", limits: "memory=64Mi", want: "low:0 min:0 oom.group:1 swap.max:0"},
		"swapped in proportion":          {rules: MemoryRules{Swap: true}, host: host, requests: "memory=32Mi", limits: "memory=64Mi", want: "low:0 min:0 oom.group:1 swap.max:16777216"},
		"guaranteed not swapped":         {rules: MemoryRules{Swap: true}, host: host, requests: "cpu=1,memory=64Mi", limits: "cpu=1,memory=64Mi", want: "low:0 min:0 oom.group:1 swap.max:0"},
		"best effort not swapped":        {rules: MemoryRules{Swap: true}, host: host, want: "low:0 min:0 oom.group:1 swap.max:0"},
		"critical not swapped":           {rules: MemoryRules{Swap: true}, host: host, requests: "memory=32Mi", priority: &critical, want: "low:0 min:0 oom.group:1 swap.max:0"},
		"more than the machine requests": {rules: MemoryRules{Swap: true}, host: host, requests: "memory=32Gi", want: "low:0 min:0 oom.group:1 swap.max:0"},
	} {
		pod := podtest.Parse(t, strings.Fields("Always main:a"))
		pod.Spec.Priority = c.priority
		own := &pod.Spec.Containers[0]
		own.Resources = corev1.ResourceRequirements{Requests: podtest.Resources(strings.ReplaceAll(c.requests, ",", " ")), Limits: podtest.Resources(strings.ReplaceAll(c.limits, ",", " "))}
		res := &cri.LinuxContainerResources{MemoryLimitInBytes: own.Resources.Limits.Memory().Value()}
		c.rules.Apply(res, pod, own, c.host)
		var got []string
		for _, file := range slices.Sorted(maps.Keys(res.Unified)) {
			got = append(got, strings.TrimPrefix(file, "memory.")+":"+res.Unified[file])
		}
		if res.MemorySwapLimitInBytes != 0 {
			got = append(got, fmt.Sprint("memsw:", res.MemorySwapLimitInBytes))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", name, s, c.want)
		}
	}
}

func TestReserve(t *testing.T) {
	pod := podtest.Parse(t, strings.Fields("Always main:a"))
	pod.Spec.Containers[0].Resources.Requests = podtest.Resources("memory=1Mi")
	for _, c := range []struct {
		rules      MemoryRules
		class      cgroup.Class
		least, low int64
	}{
		{MemoryRules{}, cgroup.Guaranteed, 0, 0}, {MemoryRules{Tiered: true, Off: true}, cgroup.Guaranteed, 0, 0},
		{MemoryRules{Tiered: true}, cgroup.Guaranteed, 1 << 20, 0}, {MemoryRules{Tiered: true}, cgroup.Burstable, 0, 1 << 20},
	} {
		group := cgroup.Pod{Class: c.class}
		if c.rules.Reserve(&group, pod); group.MemoryMin != c.least || group.MemoryLow != c.low {
			t.Errorf("%+v of class %d: %d and %d, want %d and %d", c.rules, c.class, group.MemoryMin, group.MemoryLow, c.least, c.low)
		}
	}
}

func TestReadMemoryRules(t *testing.T) {
	no := false
	for _, c := range []struct {
		reservation, swap string
		throttle          float64
		one               *bool
		unified, gate     bool
		want              string
	}{
		{"None", "", 0, nil, true, true, ""}, {"TieredReservation", "LimitedSwap", 0.8, &no, true, true, ""}, {"None", "NoSwap", 0.9, nil, true, false, ""},
		{"None", "Lots", 0, nil, true, true, `memorySwap.swapBehavior "Lots" must be one of: "", "LimitedSwap" or "NoSwap"`},
		{"None", "", 2, nil, true, true, "memoryThrottlingFactor 2 must be greater than 0 and less than or equal to 1.0"},
		{"None", "", 0.8, nil, true, false, "memoryThrottlingFactor must not be set when MemoryQoS feature gate is disabled"},
		{"TieredReservation", "", 0, nil, true, false, `memoryReservationPolicy "TieredReservation" requires MemoryQoS feature gate to be enabled`},
		{"Some", "", 0, nil, true, true, `option "Some" specified for memoryReservationPolicy. Valid options are "None" or "TieredReservation"`},
		{"None", "", 0, &no, false, true, "singleProcessOOMKill must not be explicitly set to false when using cgroup v1"},
	} {
		rules, err := ReadMemoryRules(c.reservation, c.swap, c.throttle, c.one, c.unified, c.gate)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != "invalid configuration: "+c.want {
			t.Errorf("%+v: %v, want %q", c, err, c.want)
		}
		if reservation, swap := rules.Policies(); err == nil && (reservation != c.reservation || c.swap != "" && swap != c.swap) {
			t.Errorf("%+v: read as %s and %s", c, reservation, swap)
		}
	}
}

func TestPodHugePages(t *testing.T) {
	pod := podtest.Parse(t, strings.Fields("Always main:a"))
	pod.Spec.Containers[0].Resources.Requests = podtest.Resources("hugepages-2Mi=4Mi")
	if got := PodHugePages(pod, []int64{2 << 20, 1 << 30}); got["2MB"] != 4<<20 || len(got) != 2 || got["1GB"] != 0 {
		t.Errorf("got %v", got)
	}
}
