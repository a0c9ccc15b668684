package hub

import (
	"context"
	"fmt"
	"time"

	"sampan.dev/internal/hub/store"

	"github.com/prometheus/client_golang/prometheus"
)

// registerMetrics adds the metrics of the hub as a whole to those of requests. All of them are made when somebody asks.
func (h *Hub) registerMetrics() {
	info := h.cfg.Version.info()
	h.metrics.Register(h.cfg.Collectors...)
	h.metrics.Register(h.guard.admit.Times(), sizes(h.cfg.stores()),
		constant("kubernetes_build_info", "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.", prometheus.Labels{
			"major": info.Major, "minor": info.Minor, "git_version": info.GitVersion, "git_commit": info.GitCommit, "git_tree_state": info.GitTreeState,
			"build_date": info.BuildDate, "go_version": info.GoVersion, "compiler": info.Compiler, "platform": info.Platform,
		}),
		constant("version_info", "Provides the compatibility version info of the component. The component label is the name of the component, usually kube, but is relevant for aggregated-apiservers.", prometheus.Labels{
			"component": "kube", "binary": info.Major + "." + info.Minor, "emulation": info.EmulationMajor + "." + info.EmulationMinor,
			"min_compat": info.MinCompatibilityMajor + "." + info.MinCompatibilityMinor,
		}),
	)
}

// constant is a metric that only its labels say something with.
func constant(name, help string, labels prometheus.Labels) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 { return 1 })
}

// sizes asks stores how large their databases are.
type sizes []store.Store

var descSize = prometheus.NewDesc("apiserver_storage_size_bytes", "Size of the storage database file physically allocated in bytes.", []string{"storage_cluster_id"}, nil)

// sizeIn is how long a store has for its answer.
const sizeIn = 5 * time.Second

// Describe implements prometheus.Collector.
func (s sizes) Describe(ch chan<- *prometheus.Desc) { ch <- descSize }

// Collect implements prometheus.Collector.
func (s sizes) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), sizeIn)
	defer cancel()
	known := 0
	for _, st := range s {
		if n, ok := store.Size(ctx, st); ok {
			ch <- prometheus.MustNewConstMetric(descSize, prometheus.GaugeValue, float64(n), fmt.Sprintf("etcd-%d", known))
			known++
		}
	}
}
