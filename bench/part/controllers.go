package part

import (
	"context"
	"strconv"
	"time"

	"sampan.dev/bench/report"
	"sampan.dev/bench/side"
)

// eighth is the gate of what controllers do.
var eighth = gate{RatioMax: 1. / 8}

// controllers are the parts about single controllers. Their clients are not throttled and no scheduler looks at the pods, whose statuses
// the load writes as kubelets would.
var controllers = []Part{
	{
		Name: "statefulset", Title: "a StatefulSet grows to 500", Run: runStatefulSet,
		How: "From no replicas until the status says that 500 are ready; the load writes each pod's status as soon as it sees the pod. Parallel, then OrderedReady, where a pod is made when the one before is ready.",
		Metrics: append(workMetrics("parallel_", "Parallel", "pod", eighth),
			workMetrics("ordered_", "OrderedReady", "pod", eighth)...),
	},
	{
		Name: "daemonset", Title: "a DaemonSet on 1,000 hollow nodes", Run: runDaemonSet,
		How:     "From its create until the status says that 1,000 pods are ready, which the load makes them as soon as it sees them.",
		Metrics: workMetrics("", "", "pod", eighth),
	},
	{
		Name: "job", Title: "a Job of 5,000 completions", Run: runJob,
		How:     "500 at a time, from its create until it is complete; the load ends each pod as soon as it sees it.",
		Metrics: workMetrics("", "", "pod", eighth),
	},
	{
		Name: "cascade", Title: "20,000 objects go with their owners", Run: runCascade,
		How: "20 Deployments, their ReplicaSets and 19,960 pods without a node; from the first of 20 DELETEs, which propagate in the background, until nothing is left.",
		Metrics: metrics{
			{Key: "s", Title: "gone", Unit: "s", Gate: eighth},
			{Key: "cpu_us", Title: "CPU per object", Unit: "µs", Gate: eighth},
			{Key: "writes", Title: "writes per object", Unit: "count"},
		},
	},
	{
		Name: "nskinds", Title: "a namespace with 2,000 objects of many kinds goes", Run: runNSKinds,
		How: "As many of each of the kinds that a namespace has; from the DELETE until the namespace is not found.",
		Metrics: metrics{
			{Key: "s", Title: "gone", Unit: "s", Gate: eighth},
			{Key: "cpu_us", Title: "CPU per object", Unit: "µs", Gate: eighth},
		},
	},
	{
		Name: "hpa", Title: "200 autoscalers", Run: runHPA,
		How: "Each looks after a StatefulSet of two pods by the CPU that a metrics server, which is the load, tells. From their making until all have seen metrics; then a minute in which nothing is to be done; then the usage doubles, and so do the targets. On either side an autoscaler looks every 15 s, so that times say little.",
		Metrics: metrics{
			{Key: "first_s", Title: "made, until all have seen metrics", Unit: "s"},
			{Key: "first_cpu_us", Title: "the same: CPU per autoscaler", Unit: "µs", Gate: eighth},
			{Key: "steady_looks", Title: "nothing to do: looks", Unit: "/min"},
			{Key: "steady_cpu_us", Title: "nothing to do: CPU per look", Unit: "µs", Gate: eighth},
			{Key: "steady_cpu_percent", Title: "nothing to do: CPU", Unit: "% of a core", Gate: eighth},
			{Key: "steady_writes", Title: "nothing to do: writes", Unit: "count"},
			{Key: "grow_s", Title: "usage doubles, until all have doubled", Unit: "s"},
			{Key: "grow_cpu_us", Title: "the same: CPU per autoscaler", Unit: "µs", Gate: eighth},
		},
	},
	{
		Name: "still", Title: "10,000 objects of 40 kinds, and nothing to do", Run: runStill,
		How: "A control plane without a node. As many objects of each kind, of which controllers make some 1,000 more; after two minutes to settle CPU over a window of three while nobody watches, then the writes of one minute.",
		Metrics: metrics{
			{Key: "cpu_percent", Title: "CPU", Unit: "% of a core", Gate: gate{Max: 0.5}},
			{Key: "writes_minute", Title: "writes, without leases", Unit: "/min"},
			{Key: "leases_minute", Title: "writes of leases", Unit: "/min"},
			{Key: "disk_mb_hour", Title: "written to disk", Unit: "MB/h"},
			{Key: "rss_mb", Title: "memory", Unit: "MB"},
		},
	},
}

// workMetrics are those that every workload of pods has.
func workMetrics(prefix, title, object string, g gate) metrics {
	if title != "" {
		title += ": "
	}
	return metrics{
		{Key: prefix + "s", Title: title + "done", Unit: "s", Gate: g},
		{Key: prefix + "cpu_us", Title: title + "CPU per " + object, Unit: "µs", Gate: g},
		{Key: prefix + "writes", Title: title + "writes per " + object + ", without the load's", Unit: "count"},
		report.Metric{Key: prefix + "client_cpu_us", Title: title + "the load's own CPU per " + object, Unit: "µs", Alone: true},
	}
}

// controlled starts a cluster whose controllers are not throttled and lets them come to rest.
func (e *Env) controlled(ctx context.Context, hollow bool) error {
	if err := e.start(ctx, side.Shape{Controllers: true, Fast: true, Hollow: hollow}); err != nil {
		return err
	}
	return pause(ctx, 3*time.Second)
}

func runStatefulSet(ctx context.Context, e *Env) error {
	if err := e.controlled(ctx, false); err != nil {
		return err
	}
	n := strconv.Itoa(e.Size.Grown(500, 50))
	if err := e.load(ctx, "statefulset", "-n", n, "-space", "parallel", "-prefix", "parallel_"); err != nil {
		return err
	}
	return e.load(ctx, "statefulset", "-n", n, "-space", "ordered", "-prefix", "ordered_", "-ordered")
}

func runDaemonSet(ctx context.Context, e *Env) error {
	if err := e.controlled(ctx, true); err != nil {
		return err
	}
	return e.load(ctx, "daemonset", "-n", strconv.Itoa(e.Size.Grown(1000, 50)))
}

func runJob(ctx context.Context, e *Env) error {
	if err := e.controlled(ctx, false); err != nil {
		return err
	}
	return e.load(ctx, "job", "-n", strconv.Itoa(e.Size.Grown(5000, 100)))
}

func runCascade(ctx context.Context, e *Env) error {
	if err := e.controlled(ctx, false); err != nil {
		return err
	}
	return e.load(ctx, "cascade", "-n", strconv.Itoa(e.Size.Grown(20_000, 400)), "-many", "20", "-timeout", "20m")
}

func runNSKinds(ctx context.Context, e *Env) error {
	if err := e.controlled(ctx, false); err != nil {
		return err
	}
	return e.load(ctx, "nskinds", "-n", strconv.Itoa(e.Size.Grown(2000, 200)))
}

func runHPA(ctx context.Context, e *Env) error {
	if err := e.controlled(ctx, false); err != nil {
		return err
	}
	minute := time.Minute
	if e.Size.Quick {
		minute = 20 * time.Second
	}
	return e.load(ctx, "autoscale", "-n", strconv.Itoa(e.Size.Grown(200, 10)), "-minute", minute.String())
}

func runStill(ctx context.Context, e *Env) error {
	if err := e.controlled(ctx, true); err != nil {
		return err
	}
	settle, window, minute := 2*time.Minute, e.Size.Window, time.Minute
	if e.Size.Quick {
		settle, window, minute = 10*time.Second, 15*time.Second, 10*time.Second
	}
	return e.load(ctx, "still", "-n", strconv.Itoa(e.Size.Grown(10_000, 400)), "-settle", settle.String(), "-lasting", window.String(), "-minute", minute.String(), "-timeout", "30m")
}
