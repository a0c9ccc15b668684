package part

import "testing"

func TestListIsSound(t *testing.T) {
	names := map[string]bool{}
	for _, p := range List {
		if names[p.Name] || p.Run == nil || p.Title == "" || p.How == "" || len(p.Metrics) == 0 {
			t.Errorf("part %q is there twice or lacks something", p.Name)
		}
		names[p.Name] = true
		keys := map[string]bool{}
		for _, m := range p.Metrics {
			if keys[m.Key] || m.Title == "" || m.Unit == "" {
				t.Errorf("%s: metric %q is there twice or lacks something", p.Name, m.Key)
			}
			keys[m.Key] = true
			g := m.Gate
			if m.More && (g.Max > 0 || g.RatioMax > 0) || !m.More && (g.Min > 0 || g.RatioMin > 0) {
				t.Errorf("%s: the gate of %q looks the wrong way", p.Name, m.Key)
			}
			if m.Alone && (g.RatioMax > 0 || g.RatioMin > 0) {
				t.Errorf("%s: the gate of %q needs a ratio that is not taken", p.Name, m.Key)
			}
		}
	}
}

// The gates of the issue's table, as it writes them.
func TestGatesAreTheIssues(t *testing.T) {
	want := map[string]string{
		"start/readyz_ms":                "≤ 400, ≤ 1/8 of the peer",
		"start/node_ready_ms":            "≤ 1000",
		"start/pod_running_ms":           "≤ 1500",
		"restart/readyz_ms":              "≤ 2000",
		"idle/rss_mb":                    "≤ 120, ≤ 1/4 of the peer",
		"idle/rss_all_mb":                "≤ 160, ≤ 1/4 of the peer",
		"idle/cpu_percent":               "≤ 0.5",
		"idle/disk_mb_hour":              "≤ 1",
		"api/get_p50_us":                 "≤ 1/2 of the peer",
		"api/create_p50_us":              "≤ 1/2 of the peer",
		"list/json_all_cpu_ms":           "≤ 1/10 of the peer",
		"list/pb_all_cpu_ms":             "≤ 1/6 of the peer",
		"list/json_parallel_extra_mb":    "≤ 8",
		"list/pb_parallel_extra_mb":      "≤ 8",
		"list/heap_per_pod_kb":           "≤ 16",
		"page/json_ratio_cpu_ms":         "≤ 1.5",
		"page/json_ratio_ms":             "≤ 1.5",
		"page/pb_ratio_cpu_ms":           "≤ 1.5",
		"page/pb_ratio_ms":               "≤ 1.5",
		"crds/served_s":                  "≤ 1/10 of the peer",
		"crds/rss_growth_mb":             "≤ 1/20 of the peer",
		"custom/json_all_cpu_ms":         "≤ 1/10 of the peer",
		"webhook/validating_adds_us":     "≤ 1/2 of the peer",
		"webhook/validating_adds_cpu_us": "≤ 1/2 of the peer",
		"webhook/mutating_adds_us":       "≤ 1/2 of the peer",
		"webhook/mutating_adds_cpu_us":   "≤ 1/2 of the peer",
		"envtest/started_s":              "≤ 1/10 of the peer",
		"envtest/memory_mb":              "≤ 1/5 of the peer",
		"watch/w200_cpu_us":              "≤ 1/2 of the peer",
		"watch/w5000_deliveries_per_s":   "≥ 3× the peer",
		"sched/n5000_pending_per_s":      "≥ 2000, ≥ 5× the peer",
		"scale/r1000_exist_s":            "≤ 0.6",
		"scale/r10000_exist_s":           "≤ 6",
		"svc/programmed_ms":              "≤ 1/10 of the peer",
		"svc/change_p50_ms":              "≤ 1/5 of the peer",
		"pods/single_p50_ms":             "≤ 1/3 of the peer",
		"pods/thirty_ready_s":            "≤ 1/3 of the peer",
		"still/cpu_percent":              "≤ 0.5",
	}
	for _, key := range []string{"statefulset/parallel_s", "statefulset/parallel_cpu_us", "statefulset/ordered_s", "statefulset/ordered_cpu_us",
		"daemonset/s", "daemonset/cpu_us", "job/s", "job/cpu_us", "cascade/s", "cascade/cpu_us", "nskinds/s", "nskinds/cpu_us",
		"hpa/first_cpu_us", "hpa/steady_cpu_us", "hpa/steady_cpu_percent", "hpa/grow_cpu_us"} {
		want[key] = "≤ 1/8 of the peer"
	}
	for _, p := range List {
		for _, m := range p.Metrics {
			key := p.Name + "/" + m.Key
			if got := m.Gate.String(); got != want[key] {
				t.Errorf("%s: gate %q, want %q", key, got, want[key])
			}
			delete(want, key)
		}
	}
	for key := range want {
		t.Errorf("there is no metric %s", key)
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		size        Size
		pick, grown int
	}{
		{Size{}, 100, 100}, {Size{Scale: 1}, 100, 100}, {Size{Scale: 10}, 100, 1000}, {Size{Quick: true}, 5, 5}, {Size{Quick: true, Scale: 10}, 5, 50},
	} {
		if p, g := c.size.Pick(100, 5), c.size.Grown(100, 5); p != c.pick || g != c.grown {
			t.Errorf("%+v: %d %d, want %d %d", c.size, p, g, c.pick, c.grown)
		}
	}
}

func TestParseCounts(t *testing.T) {
	out := `
 Performance counter stats for process id '1,2':

            23,880      raw_syscalls:sys_enter
                 0      syscalls:sys_enter_fsync

      60.001 seconds time elapsed
`
	got, err := parseCounts(out, []string{systemCalls, fsyncs})
	if err != nil || got[systemCalls] != 23880 || got[fsyncs] != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseCounts(out, []string{fdatasyncs}); err == nil {
		t.Error("a count that is not there is found")
	}
}
