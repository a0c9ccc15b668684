package part

import (
	"slices"

	"sampan.dev/bench/report"
)

type (
	metrics = []report.Metric
	gate    = report.Gate
)

// List is everything that is measured, in the order in which it is run. Gates are those of the issues.
var List = slices.Concat(general, controllers)

// general are the parts about a whole cluster, its API server and its scheduler.
var general = []Part{
	{
		Name: "start", Title: "cold start on an empty disk", Run: runStart,
		How: "From exec. The peer's certificates, network, container runtime and images are there beforehand; its other processes are started when /readyz first answers. sampan makes all of its own within the time.",
		Metrics: metrics{
			{Key: "readyz_ms", Title: "exec to /readyz", Unit: "ms", Gate: gate{Max: 400, RatioMax: 1. / 8}},
			{Key: "node_ready_ms", Title: "exec to node Ready", Unit: "ms", Gate: gate{Max: 1000}},
			{Key: "pod_created_ms", Title: "exec to first pod accepted", Unit: "ms"},
			{Key: "pod_running_ms", Title: "exec to first pod Running", Unit: "ms", Gate: gate{Max: 1500}},
		},
	},
	{
		Name: "restart", Title: "restart with 100,000 objects of 4 KB", Run: runRestart, Keeps: true,
		How: "The objects, ConfigMaps, are made once; then the control plane is stopped and started on the same data in every pair.",
		Metrics: metrics{
			{Key: "readyz_ms", Title: "exec to /readyz", Unit: "ms", Gate: gate{Max: 2000}},
			{Key: "rss_mb", Title: "memory 5 s later", Unit: "MB"},
			{Key: "fill_per_s", Title: "objects made", Unit: "/s", More: true},
		},
	},
	{
		Name: "idle", Title: "a cluster of one node without workload", Run: runIdle,
		How: "After a minute to settle, over a window of three; server and node are one process with sampan, six with the peer.",
		Metrics: metrics{
			{Key: "rss_mb", Title: "memory, server and node", Unit: "MB", Gate: gate{Max: 120, RatioMax: 1. / 4}},
			{Key: "rss_all_mb", Title: "memory, with the container runtime", Unit: "MB", Gate: gate{Max: 160, RatioMax: 1. / 4}},
			{Key: "anon_mb", Title: "of server and node: not backed by files", Unit: "MB"},
			{Key: "cpu_percent", Title: "CPU, server and node", Unit: "% of a core", Gate: gate{Max: 0.5}},
			{Key: "cpu_all_percent", Title: "CPU, with the container runtime", Unit: "% of a core"},
			{Key: "disk_mb_hour", Title: "written to disk", Unit: "MB/h", Gate: gate{Max: 1}},
			{Key: "syscalls_minute", Title: "system calls", Unit: "/min"},
		},
	},
	{
		Name: "api", Title: "single requests", Run: runAPI,
		How:     "One client, one connection, one request after the other; GET of a 4 KB pod, writes of a 1 KB ConfigMap, all durable. Protobuf unless it says JSON.",
		Metrics: apiMetrics(),
	},
	{
		Name: "writes", Title: "durable creates", Run: runWrites,
		How:     "ConfigMaps of 1 KB by 1, 16 and 128 clients with a connection each.",
		Metrics: writeMetrics(),
	},
	{
		Name: "list", Title: "LIST of 10,000 pods", Run: runList,
		How:     "Pods of some 4 KB on 300 nodes; the body is read and thrown away. CPU is that of the server processes.",
		Metrics: listMetrics(),
	},
	{
		Name: "page", Title: "the first page of 500 of 100,000 pods", Run: runPage, Alone: true,
		How:     "The same pods, 10,000 of them and then 100,000; limit=500, consistent. Sampan alone.",
		Metrics: pageMetrics(),
	},
	{
		Name: "crds", Title: "1,000 custom resource definitions", Run: runCRDs,
		How: "Made by 16 clients on one connection, 20 to a group, with a schema of some 40 fields; Established as a watch sees it, served when aggregated discovery names all. Memory is what it is 15 s later beside before. Then the objects of each, of which there are none, are listed once.",
		Metrics: metrics{
			{Key: "served_s", Title: "Established and in discovery", Unit: "s", Gate: gate{RatioMax: 1. / 10}},
			{Key: "rss_growth_mb", Title: "growth of memory", Unit: "MB", Gate: gate{RatioMax: 1. / 20}},
			{Key: "heap_growth_mb", Title: "growth of the API server's heap, after garbage collection", Unit: "MB"},
			{Key: "established_s", Title: "Established", Unit: "s"},
			{Key: "cpu_s", Title: "CPU", Unit: "s"},
			{Key: "read_s", Title: "each listed once: time", Unit: "s"},
			{Key: "read_cpu_s", Title: "each listed once: CPU", Unit: "s"},
			{Key: "read_rss_growth_mb", Title: "each listed once: growth of memory since the beginning", Unit: "MB"},
			{Key: "read_heap_growth_mb", Title: "each listed once: growth of the heap since the beginning", Unit: "MB"},
		},
	},
	{
		Name: "custom", Title: "10,000 custom resources", Run: runCustom,
		How:     "Of one kind with a schema of some 40 fields, some 2 KB each, made by 32 clients on one connection; the body of a list is read and thrown away. JSON.",
		Metrics: customMetrics(),
	},
	{
		Name: "webhook", Title: "a write through one webhook", Run: runWebhook,
		How:     "One client creates ConfigMaps of 1 KB in three namespaces by turns: one whose writes no webhook is for, one with a validating webhook, one with a mutating webhook, which the client serves over HTTPS on the loopback. What it adds is the difference of the medians, and of the CPU per write.",
		Metrics: webhookMetrics(),
	},
	{
		Name: "envtest", Title: "50 environments of envtest", Run: runEnvtest,
		How: "controller-runtime's envtest starts etcd and kube-apiserver 50 times, four at a time, and all stay: upstream's programs, or sampan's in their place. Memory is that of all processes 15 s later, of pages that several have each process's part.",
		Metrics: metrics{
			{Key: "started_s", Title: "started", Unit: "s", Gate: gate{RatioMax: 1. / 10}},
			{Key: "memory_mb", Title: "memory of all", Unit: "MB", Gate: gate{RatioMax: 1. / 5}},
			{Key: "rss_mb", Title: "memory of all, shared pages counted for each process", Unit: "MB"},
			{Key: "start_p50_ms", Title: "start of one, p50", Unit: "ms"},
			{Key: "start_cpu_ms", Title: "CPU per environment until all had started", Unit: "ms"},
			{Key: "started_busy_s", Title: "CPU of the whole machine until all had started", Unit: "s"},
			{Key: "idle_cpu_percent", Title: "CPU of all at rest", Unit: "% of a core"},
			{Key: "stopped_s", Title: "stopped", Unit: "s"},
		},
	},
	{
		Name: "watch", Title: "watch fan-out", Run: runWatch,
		How: "Watchers of the ConfigMaps of one namespace, protobuf; updates of 1 KB go round 100 objects. Lag is from before the update is sent until the event is read.",
		Metrics: metrics{
			{Key: "w200_cpu_us", Title: "200 watchers, flat out: CPU per delivery", Unit: "µs", Gate: gate{RatioMax: 1. / 2}},
			{Key: "w200_deliveries_per_s", Title: "200 watchers, flat out: deliveries", Unit: "/s", More: true},
			{Key: "w200_lag_p50_ms", Title: "200 watchers, flat out: lag p50", Unit: "ms"},
			{Key: "w200_lag_p99_ms", Title: "200 watchers, flat out: lag p99", Unit: "ms"},
			{Key: "w200_complete_percent", Title: "200 watchers, flat out: delivered", Unit: "%", More: true},
			{Key: "paced_cpu_us", Title: "200 watchers, 50 updates/s: CPU per delivery", Unit: "µs"},
			{Key: "paced_lag_p50_ms", Title: "200 watchers, 50 updates/s: lag p50", Unit: "ms"},
			{Key: "paced_lag_p99_ms", Title: "200 watchers, 50 updates/s: lag p99", Unit: "ms"},
			{Key: "w5000_deliveries_per_s", Title: "5,000 watchers: deliveries", Unit: "/s", More: true, Gate: gate{RatioMin: 3}},
			{Key: "w5000_cpu_us", Title: "5,000 watchers: CPU per delivery", Unit: "µs"},
			{Key: "w5000_lag_p50_ms", Title: "5,000 watchers: lag p50", Unit: "ms"},
			{Key: "w5000_lag_p99_ms", Title: "5,000 watchers: lag p99", Unit: "ms"},
			{Key: "w5000_complete_percent", Title: "5,000 watchers: delivered", Unit: "%", More: true},
			{Key: "w5000_rss_per_watch_kb", Title: "5,000 watchers: memory per idle watch", Unit: "KB"},
		},
	},
	{
		Name: "overload", Title: "more than fits into 400 MB", Run: runOverload,
		How: "API server and store in a cgroup of 400 MB of memory, for a minute: 300 clients create ConfigMaps of 1 MB, 200 list 10 MB, 100 read such a list slowly; all come back when they are told to. Beside them, from a process of its own, ten nodes renew their leases each second and one client gets a small object ten times a second.",
		Metrics: metrics{
			{Key: "oom_kills", Title: "processes killed for want of memory", Unit: "count"},
			{Key: "lease_missed", Title: "lease renewals that took more than 10 s", Unit: "count"},
			{Key: "lease_p99_ms", Title: "lease renewal p99", Unit: "ms"},
			{Key: "get_p99_ms", Title: "GET of the modest client, p99", Unit: "ms"},
			{Key: "get_failed", Title: "GETs of the modest client that failed", Unit: "count"},
			{Key: "post_ok", Title: "creates done", Unit: "count", More: true},
			{Key: "post_429", Title: "creates put off with 429", Unit: "count"},
			{Key: "list_ok", Title: "lists done", Unit: "count", More: true},
			{Key: "list_429", Title: "lists put off with 429", Unit: "count"},
			{Key: "post_broken", Title: "creates without an answer", Unit: "count"},
			{Key: "list_broken", Title: "lists without an answer", Unit: "count"},
			{Key: "429_without_retry_after", Title: "429 that do not say when to come back", Unit: "count"},
		},
	},
	{
		Name: "sched", Title: "scheduling of 10,000 pods", Run: runSched,
		How: "Hollow nodes; nothing but store, API server and scheduler, whose client is not throttled. Pending: all pods are there when the scheduler gets its lease; from the first bind seen to the last. Alongside: 32 clients make the pods while it works; from the first create to the last bind.",
		Metrics: metrics{
			{Key: "n5000_pending_per_s", Title: "5,000 nodes, pending: bound", Unit: "/s", More: true, Gate: gate{Min: 2000, RatioMin: 5}},
			{Key: "n5000_pending_cpu_us", Title: "5,000 nodes, pending: CPU per pod", Unit: "µs"},
			{Key: "n5000_alongside_per_s", Title: "5,000 nodes, alongside: bound", Unit: "/s", More: true},
			{Key: "n5000_alongside_created_per_s", Title: "5,000 nodes, alongside: created", Unit: "/s", More: true},
			{Key: "n5000_alongside_cpu_us", Title: "5,000 nodes, alongside: CPU per pod, create to bind", Unit: "µs"},
			{Key: "n5000_peak_rss_mb", Title: "5,000 nodes: most memory", Unit: "MB"},
			{Key: "n1000_pending_per_s", Title: "1,000 nodes, pending: bound", Unit: "/s", More: true},
			{Key: "n1000_alongside_per_s", Title: "1,000 nodes, alongside: bound", Unit: "/s", More: true},
			{Key: "affinity_pending_per_s", Title: "5,000 nodes, node affinity, pending: bound", Unit: "/s", More: true},
			{Key: "affinity_pending_cpu_us", Title: "5,000 nodes, node affinity, pending: CPU per pod", Unit: "µs"},
		},
	},
	{
		Name: "scale", Title: "a Deployment grows", Run: runScale,
		How: "From no replicas until so many pod objects exist, with controllers whose clients are not throttled; no scheduler looks at the pods.",
		Metrics: metrics{
			{Key: "r1000_exist_s", Title: "0 to 1,000: pods exist", Unit: "s", Gate: gate{Max: 0.6}},
			{Key: "r1000_status_s", Title: "0 to 1,000: status says so", Unit: "s"},
			{Key: "r1000_cpu_us", Title: "0 to 1,000: CPU per pod", Unit: "µs"},
			{Key: "r10000_exist_s", Title: "0 to 10,000: pods exist", Unit: "s", Gate: gate{Max: 6}},
			{Key: "r10000_status_s", Title: "0 to 10,000: status says so", Unit: "s"},
			{Key: "r10000_cpu_us", Title: "0 to 10,000: CPU per pod", Unit: "µs"},
		},
	},
	{
		Name: "nsdelete", Title: "a namespace with 2,000 ConfigMaps goes", Run: runNSDelete,
		How: "From the DELETE until the namespace is not found, with controllers whose clients are not throttled.",
		Metrics: metrics{
			{Key: "gone_s", Title: "gone", Unit: "s"},
			{Key: "cpu_us", Title: "CPU per object", Unit: "µs"},
		},
	},
	{
		Name: "svc", Title: "5,000 Services", Run: runServices,
		How: "Two endpoints each. From the exec of the node's proxy, no rules being in the kernel, until 51 of the Services answer: kube-proxy alone with the peer, with sampan the whole agent, whose kubelet and container runtime start beside it. Then the endpoints of one Service move, and it is timed until a connection gets there.",
		Metrics: metrics{
			{Key: "programmed_ms", Title: "programmed", Unit: "ms", Gate: gate{RatioMax: 1. / 10}},
			{Key: "change_p50_ms", Title: "one change effective, p50", Unit: "ms", Gate: gate{RatioMax: 1. / 5}},
			{Key: "change_max_ms", Title: "one change effective, slowest", Unit: "ms"},
			{Key: "change_cpu_ms", Title: "CPU per change", Unit: "ms"},
			{Key: "made_per_s", Title: "Services and slices made", Unit: "pairs/s", More: true},
		},
	},
	{
		Name: "pods", Title: "real pods on a node", Run: runPods,
		How: "The image is there. 25 single pods after each other, from create to Running seen by a watch; Deployments of 30 and 100 until all pods are Ready.",
		Metrics: metrics{
			{Key: "single_p50_ms", Title: "create to Running, p50", Unit: "ms", Gate: gate{RatioMax: 1. / 3}},
			{Key: "single_p99_ms", Title: "create to Running, p99", Unit: "ms"},
			{Key: "thirty_ready_s", Title: "30 pods Ready", Unit: "s", Gate: gate{RatioMax: 1. / 3}},
			{Key: "many_ready_s", Title: "100 pods Ready", Unit: "s"},
			{Key: "thirty_gone_s", Title: "30 pods gone", Unit: "s"},
			{Key: "many_gone_s", Title: "100 pods gone", Unit: "s"},
			{Key: "delete_p50_ms", Title: "delete to gone, p50", Unit: "ms"},
			{Key: "thirty_cpu_ms", Title: "CPU per pod of 30, without runtime", Unit: "ms"},
		},
	},
}

func apiMetrics() metrics {
	half := map[string]gate{"get_p50_us": {RatioMax: 1. / 2}, "create_p50_us": {RatioMax: 1. / 2}}
	var out metrics
	for _, form := range []struct{ prefix, says string }{{"", ""}, {"json_", ", JSON"}} {
		for _, op := range []struct{ key, title string }{{"get", "GET"}, {"create", "CREATE"}, {"update", "UPDATE"}, {"patch", "merge PATCH"}, {"apply", "server-side apply"}, {"delete", "DELETE"}} {
			for _, v := range []struct{ key, title string }{{"_p50_us", "p50"}, {"_p99_us", "p99"}, {"_cpu_us", "CPU"}} {
				key := form.prefix + op.key + v.key
				out = append(out, report.Metric{Key: key, Title: op.title + form.says + ": " + v.title, Unit: "µs", Gate: half[key]})
			}
		}
	}
	return out
}

func writeMetrics() metrics {
	var out metrics
	for _, w := range []struct{ key, title string }{{"w1_", "1 writer"}, {"w16_", "16 writers"}, {"w128_", "128 writers"}} {
		out = append(out,
			report.Metric{Key: w.key + "per_s", Title: w.title + ": creates", Unit: "/s", More: true},
			report.Metric{Key: w.key + "p99_ms", Title: w.title + ": p99", Unit: "ms"},
			report.Metric{Key: w.key + "cpu_us", Title: w.title + ": CPU per create", Unit: "µs"},
			report.Metric{Key: w.key + "disk_kb", Title: w.title + ": written to disk per create", Unit: "KB"})
	}
	return append(out,
		report.Metric{Key: "w16_flushes", Title: "16 writers: flushes of the disk per create", Unit: "count"},
		report.Metric{Key: "w16_syscalls", Title: "16 writers: system calls per create", Unit: "count"})
}

func listMetrics() metrics {
	gates := map[string]gate{
		"pb_all_cpu_ms": {RatioMax: 1. / 6}, "json_all_cpu_ms": {RatioMax: 1. / 10},
		"pb_parallel_extra_mb": {Max: 8}, "json_parallel_extra_mb": {Max: 8}, "heap_per_pod_kb": {Max: 16},
	}
	out := metrics{
		{Key: "heap_per_pod_kb", Title: "memory held per pod, after garbage collection", Unit: "KB"},
		{Key: "rss_per_pod_kb", Title: "resident memory grown per pod", Unit: "KB"},
		{Key: "pods_per_s", Title: "pods made, 32 clients", Unit: "/s", More: true},
	}
	for _, form := range []struct{ key, title string }{{"json", "JSON"}, {"pb", "protobuf"}} {
		for _, l := range []struct{ key, title string }{{"all", "all"}, {"gzip", "all, gzip"}, {"fresh", "all, consistent"}, {"selected", "a tenth, by label"}, {"of_node", "of one node, by field"}, {"page", "limit=500, first page"}} {
			for _, v := range []struct{ key, title, unit string }{{"_cpu_ms", "CPU", "ms"}, {"_ms", "time", "ms"}} {
				out = append(out, report.Metric{Key: form.key + "_" + l.key + v.key, Title: form.title + ", " + l.title + ": " + v.title, Unit: v.unit})
			}
		}
		out = append(out,
			report.Metric{Key: form.key + "_parallel_ms", Title: form.title + ", 10 at once: until the last", Unit: "ms"},
			report.Metric{Key: form.key + "_parallel_extra_mb", Title: form.title + ", 10 at once: extra memory", Unit: "MB", Alone: true},
			report.Metric{Key: form.key + "_all_mb", Title: form.title + ", all: size", Unit: "MB"})
	}
	for i := range out {
		out[i].Gate = gates[out[i].Key]
	}
	return out
}

func pageMetrics() metrics {
	out := metrics{{Key: "pods_per_s", Title: "pods made, 32 clients", Unit: "/s", More: true, Alone: true}}
	for _, form := range []struct{ key, title string }{{"json", "JSON"}, {"pb", "protobuf"}} {
		for _, v := range []struct{ key, title, unit string }{{"cpu_ms", "CPU", "ms"}, {"ms", "time", "ms"}} {
			out = append(out,
				report.Metric{Key: form.key + "_few_" + v.key, Title: form.title + ", of 10,000: " + v.title, Unit: v.unit, Alone: true},
				report.Metric{Key: form.key + "_many_" + v.key, Title: form.title + ", of 100,000: " + v.title, Unit: v.unit, Alone: true},
				report.Metric{Key: form.key + "_ratio_" + v.key, Title: form.title + ": " + v.title + " at 100,000 by that at 10,000", Unit: "times", Alone: true, Gate: gate{Max: 1.5}})
		}
	}
	return out
}

func customMetrics() metrics {
	out := metrics{
		{Key: "created_per_s", Title: "made", Unit: "/s", More: true},
		{Key: "create_cpu_us", Title: "CPU per create", Unit: "µs"},
		{Key: "heap_per_object_kb", Title: "memory held per object, after garbage collection", Unit: "KB"},
	}
	for _, l := range []struct{ key, title string }{{"json_all", "all"}, {"json_gzip", "all, gzip"}, {"json_fresh", "all, consistent"}, {"json_page", "limit=500, first page"}} {
		for _, v := range []struct{ key, title string }{{"_cpu_ms", "CPU"}, {"_ms", "time"}} {
			m := report.Metric{Key: l.key + v.key, Title: l.title + ": " + v.title, Unit: "ms"}
			if m.Key == "json_all_cpu_ms" {
				m.Gate = gate{RatioMax: 1. / 10}
			}
			out = append(out, m)
		}
	}
	return append(out, report.Metric{Key: "json_all_mb", Title: "all: size", Unit: "MB"})
}

func webhookMetrics() metrics {
	var out metrics
	for _, h := range []struct{ key, title string }{{"validating", "a validating webhook"}, {"mutating", "a mutating webhook"}} {
		out = append(out,
			report.Metric{Key: h.key + "_adds_us", Title: h.title + " adds, p50", Unit: "µs", Gate: gate{RatioMax: 1. / 2}},
			report.Metric{Key: h.key + "_adds_cpu_us", Title: h.title + " adds, CPU", Unit: "µs", Gate: gate{RatioMax: 1. / 2}},
			report.Metric{Key: h.key + "_adds_p99_us", Title: h.title + " adds, p99", Unit: "µs"})
	}
	for _, h := range []struct{ key, title string }{{"none", "without"}, {"validating", "with a validating webhook"}, {"mutating", "with a mutating webhook"}} {
		out = append(out,
			report.Metric{Key: h.key + "_p50_us", Title: "CREATE " + h.title + ": p50", Unit: "µs"},
			report.Metric{Key: h.key + "_cpu_us", Title: "CREATE " + h.title + ": CPU", Unit: "µs"})
	}
	return out
}
