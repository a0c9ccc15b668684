package cloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"sampan.dev/internal/cloud"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
)

// What upstream's loops measure (k8s.io/cloud-provider/controllers), under its names. Each loop has its own.

// collectors are several as one.
type collectors []prometheus.Collector

// Describe implements prometheus.Collector.
func (cs collectors) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range cs {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (cs collectors) Collect(ch chan<- prometheus.Metric) {
	for _, c := range cs {
		c.Collect(ch)
	}
}

func newCounter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func newCounters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// newHistogram has n bounds, each so many times the one before.
func newHistogram(name, help string, first, times float64, n int) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(first, times, n)})
}

// balancerMetrics are service-lb-controller's. A round begins when the nodes change, and ends when every balancer that this concerns has been
// looked at; left is empty between rounds.
type balancerMetrics struct {
	collectors
	pointed  prometheus.Counter   // balancers that were led to other nodes, or tried to be
	failed   prometheus.Counter   // of those
	pointing prometheus.Histogram // how long that took for one
	rounds   prometheus.Histogram

	mu struct {
		sync.Mutex
		began time.Time       // of the round at hand
		left  map[string]bool // services that it has still to come to
	}
}

func newBalancerMetrics() *balancerMetrics {
	m := &balancerMetrics{
		pointed:  newCounter("service_controller_loadbalancer_sync_total", "How often a load balancer was configured because nodes changed."),
		failed:   newCounter("service_controller_nodesync_error_total", "How often that failed."),
		rounds:   newHistogram("service_controller_nodesync_latency_seconds", "Time from a change of the nodes until all load balancers had been told.", 1, 2, 15),
		pointing: newHistogram("service_controller_update_loadbalancer_host_latency_seconds", "Time that it took to tell one load balancer of its nodes.", 1, 2, 15),
	}
	m.collectors = collectors{m.pointed, m.failed, m.rounds, m.pointing}
	m.mu.left = map[string]bool{}
	return m
}

// nodesChanged begins a round over the balancers of services; with one at hand they become part of that.
func (m *balancerMetrics) nodesChanged(services []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mu.left) == 0 {
		m.mu.began = time.Now()
	}
	for _, s := range services {
		m.mu.left[s] = true
	}
}

// looked notes that a service was looked at; what came of it is of no interest.
func (m *balancerMetrics) looked(service string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mu.left[service] {
		return
	}
	if delete(m.mu.left, service); len(m.mu.left) == 0 {
		m.rounds.Observe(time.Since(m.mu.began).Seconds())
	}
}

func (m *balancerMetrics) point(began time.Time, err error) {
	m.pointed.Inc()
	m.pointing.Observe(time.Since(began).Seconds())
	if err != nil {
		m.failed.Inc()
	}
}

// nodeMetrics are cloud-node-controller's: how old nodes were when the taint was gone, and when all was written that their cloud says.
type nodeMetrics struct {
	collectors
	untainted, initialized prometheus.Histogram
}

func newNodeMetrics() *nodeMetrics {
	m := &nodeMetrics{
		untainted:   newHistogram("node_controller_cloud_provider_taint_removal_delay_seconds", "Age of a node when it lost the taint of an external cloud.", 1, 4, 6),
		initialized: newHistogram("node_controller_initial_node_sync_delay_seconds", "Age of a node when all was written that its cloud says of it.", 1, 4, 6),
	}
	m.collectors = collectors{m.untainted, m.initialized}
	return m
}

func age(n *corev1.Node) float64 { return time.Since(n.CreationTimestamp.Time).Seconds() }

// lifecycleMetrics are cloud-node-lifecycle-controller's. Upstream looks at all nodes one after the other and measures the time of such a
// round; here each node that is not ready has looks of its own, and their times are measured.
type lifecycleMetrics struct {
	collectors
	looks prometheus.Histogram
	calls *prometheus.CounterVec // of the provider, by operation and result
}

func newLifecycleMetrics() *lifecycleMetrics {
	m := &lifecycleMetrics{
		looks: newHistogram("cloud_node_lifecycle_controller_monitor_nodes_duration_seconds", "Time of a look at a node that is not ready.", 0.001, 2, 15),
		calls: newCounters("cloud_node_lifecycle_controller_cloud_provider_calls_total", "Calls of the cloud provider, by operation and result.", "operation", "result"),
	}
	m.collectors = collectors{m.looks, m.calls}
	return m
}

func (m *lifecycleMetrics) looked(began time.Time) { m.looks.Observe(time.Since(began).Seconds()) }

// called counts a call of the provider about a machine.
func (m *lifecycleMetrics) called(operation string, err error) {
	result := "success"
	switch {
	case errors.Is(err, cloud.ErrNotImplemented):
		result = "not_implemented"
	case errors.Is(err, cloud.ErrInstanceNotFound):
		result = "instance_not_found"
	case errors.Is(err, context.Canceled):
		result = "canceled"
	case err != nil:
		result = "error"
	}
	m.calls.WithLabelValues(operation, result).Inc()
}

// routeMetrics are node-route-controller's.
type routeMetrics struct{ *prometheus.CounterVec }

func newRouteMetrics() routeMetrics {
	return routeMetrics{newCounters("route_controller_route_sync_total", "Looks at the routes, by what led to them and what came of them.", "outcome", "trigger")}
}

// looked counts a look at the routes, which nodes that had changed made necessary, or the time.
func (m routeMetrics) looked(changed, byNodes bool, err error) {
	outcome, trigger := "noop", "periodic"
	switch {
	case err != nil:
		outcome = "error"
	case changed:
		outcome = "changed"
	}
	if byNodes {
		trigger = "node_change"
	}
	m.WithLabelValues(outcome, trigger).Inc()
}
