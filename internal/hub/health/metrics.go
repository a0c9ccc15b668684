package health

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/flow"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the ones dashboards and alerts read, under upstream's names.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	sizes    *prometheus.HistogramVec
	outdated *prometheus.GaugeVec
	events   *prometheus.HistogramVec // by size; their count is a metric of its own
	told     *prometheus.CounterVec
	scrapes  sync.Once // handler is made at the first
	handler  http.Handler
}

var labels = []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}

// NewMetrics makes them. count is called whenever somebody asks.
func NewMetrics(gate *flow.Gate, count Count) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_total",
			Help: "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
		}, append([]string{"code", "dry_run"}, labels...)),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_request_duration_seconds",
			Help:    "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
			Buckets: []float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60},
		}, append([]string{"dry_run"}, labels...)),
		sizes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_response_sizes",
			Help:    "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
			Buckets: prometheus.ExponentialBuckets(1000, 10, 7),
		}, labels),
		outdated: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "apiserver_requested_deprecated_apis",
			Help: "Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and removed_release.",
		}, []string{"group", "version", "resource", "subresource", "removed_release"}),
	}
	kinds := []string{"group", "version", "resource"}
	m.events = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "apiserver_watch_events_sizes", Help: "Watch event size distribution in bytes", Buckets: prometheus.ExponentialBuckets(1024, 2, 8),
	}, kinds)
	m.told = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_watch_events_total", Help: "Number of events sent in watch clients"}, kinds)
	m.registry.MustRegister(m.requests, m.seconds, m.sizes, m.outdated, m.events, m.told)
	gauge := func(name, help string, l prometheus.Labels, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: l}, value))
	}
	const current = "apiserver_current_inflight_requests"
	const help = "Maximal number of currently used inflight request limit of this apiserver per request kind in last second."
	gauge(current, help, prometheus.Labels{"request_kind": "readOnly"}, func() float64 { return float64(gate.Reads.Under()) })
	gauge(current, help, prometheus.Labels{"request_kind": "mutating"}, func() float64 { return float64(gate.Writes.Under()) })
	gauge("apiserver_longrunning_requests", "Gauge of all active long-running apiserver requests.", nil,
		func() float64 { return float64(gate.Long.Load()) })
	m.registry.MustRegister(objects{count})
	return m
}

// Register adds metrics of other rooms.
func (m *Metrics) Register(c ...prometheus.Collector) { m.registry.MustRegister(c...) }

// Serve answers /metrics. Until somebody asks, nothing is held of what the language's runtime and the system know of the process.
func (m *Metrics) Serve(w http.ResponseWriter, r *http.Request) error {
	m.scrapes.Do(func() {
		m.registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll)),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		m.handler = promhttp.HandlerFor(graded{m.registry}, promhttp.HandlerOpts{})
	})
	m.handler.ServeHTTP(w, r)
	return nil
}

// Request is one that has been answered, for something that is served: every value of a label stays for good, so none may be
// one that clients make up.
type Request struct {
	Verb                                  string // "get"
	Group, Version, Resource, Subresource string // "" for what is no resource
	Scope                                 string // "resource", "namespace", "cluster", or "" for what is no resource
	Stream                                bool   // of a subresource that is a stream
	Deprecated                            bool   // upstream advises against the resource, without naming a release that lacks it
	Long                                  bool   // it may take as long as it likes: how long it did says nothing

	Code  int
	Bytes int64
	Took  time.Duration
}

// Observe counts a request.
func (m *Metrics) Observe(r Request) {
	v := verbLabels[r.Verb]
	switch {
	case r.Stream:
		v = "CONNECT"
	case v == "":
		v = "other"
	}
	m.requests.WithLabelValues(codeLabel(r.Code), "", v, r.Group, r.Version, r.Resource, r.Subresource, r.Scope, "apiserver").Inc()
	if r.Deprecated {
		m.outdated.WithLabelValues(r.Group, r.Version, r.Resource, r.Subresource, "").Set(1)
	}
	if r.Long {
		return
	}
	m.seconds.WithLabelValues("", v, r.Group, r.Version, r.Resource, r.Subresource, r.Scope, "apiserver").Observe(r.Took.Seconds())
	if v == "GET" || v == "LIST" {
		m.sizes.WithLabelValues(v, r.Group, r.Version, r.Resource, r.Subresource, r.Scope, "apiserver").Observe(float64(r.Bytes))
	}
}

// WatchEvents returns what counts the events of a watch by their bytes.
func (m *Metrics) WatchEvents(group, version, resource string) func(size int) {
	events, told := m.events.WithLabelValues(group, version, resource), m.told.WithLabelValues(group, version, resource)
	return func(size int) {
		events.Observe(float64(size))
		told.Inc()
	}
}

var verbLabels = map[string]string{"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH",
	"delete": "DELETE", "deletecollection": "DELETECOLLECTION"}

// codeLabel is the label of a status; what a pod behind the proxy makes up counts as the first of its class.
func codeLabel(code int) string {
	if http.StatusText(code) == "" {
		code = code / 100 * 100
	}
	return strconv.Itoa(code)
}

// Count calls fn with each stored kind, how many objects of it there are and how many of them cannot be read.
type Count func(ctx context.Context, fn func(kind *api.Kind, objects, bad int))

// objects counts what is stored, when asked.
type objects struct{ count Count }

var resourceObjectsDesc = prometheus.NewDesc("apiserver_resource_objects",
	"Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.", []string{"group", "resource"}, nil)

// objectsDesc is deprecated upstream, where it has to be asked for by --show-hidden-metrics-for-version; dashboards still read it.
var objectsDesc = prometheus.NewDesc("apiserver_storage_objects",
	"Number of stored objects at the time of last check split by kind.", []string{"resource"}, nil)

var corruptDesc = prometheus.NewDesc("apiserver_storage_corrupt_objects",
	"Number of stored objects that cannot be read and are left out of lists, split by kind.", []string{"resource"}, nil)

func (o objects) Describe(ch chan<- *prometheus.Desc) {
	ch <- objectsDesc
	ch <- resourceObjectsDesc
	ch <- corruptDesc
}

func (o objects) Collect(ch chan<- prometheus.Metric) {
	o.count(context.Background(), func(kind *api.Kind, n, bad int) {
		resource := kind.GR().String()
		ch <- prometheus.MustNewConstMetric(objectsDesc, prometheus.GaugeValue, float64(n), resource)
		ch <- prometheus.MustNewConstMetric(resourceObjectsDesc, prometheus.GaugeValue, float64(n), kind.Group, kind.Resource)
		if bad > 0 {
			ch <- prometheus.MustNewConstMetric(corruptDesc, prometheus.GaugeValue, float64(bad), resource)
		}
	})
}
