package hub

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the ones dashboards and alerts read, under upstream's names.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	sizes    *prometheus.HistogramVec
	handler  http.Handler
}

var labels = []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}

func newMetrics(h *Hub) *metrics {
	m := &metrics{
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
	}
	m.registry.MustRegister(m.requests, m.seconds, m.sizes, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge := func(name, help string, l prometheus.Labels, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: l}, value))
	}
	const current = "apiserver_current_inflight_requests"
	const help = "Maximal number of currently used inflight request limit of this apiserver per request kind in last second."
	gauge(current, help, prometheus.Labels{"request_kind": "readOnly"}, func() float64 { return float64(h.gate.Reads.Under()) })
	gauge(current, help, prometheus.Labels{"request_kind": "mutating"}, func() float64 { return float64(h.gate.Writes.Under()) })
	gauge("apiserver_longrunning_requests", "Gauge of all active long-running apiserver requests.", nil,
		func() float64 { return float64(h.gate.Long.Load()) })
	m.registry.MustRegister(objects{h})
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) serve(w http.ResponseWriter, r *http.Request) error {
	m.handler.ServeHTTP(w, r)
	return nil
}

// observe counts a finished request for something that is served. What else a client writes must not become a label: series
// stay for good.
func (m *metrics) observe(x *exchange, w *recorder, took time.Duration) {
	if !x.served {
		return
	}
	rt := &x.route
	v := verbLabels[rt.Verb]
	if v == "" {
		v = "other"
	}
	group, version, resource, sub, scope := rt.Group, rt.Version, rt.Plural, rt.Subresource, ""
	if rt.Resource {
		switch {
		case rt.NameInPath:
			scope = "resource"
		case rt.Namespace != "":
			scope = "namespace"
		default:
			scope = "cluster"
		}
		if x.stream() != nil {
			v = "CONNECT"
		}
	}
	m.requests.WithLabelValues(codeLabel(w.status()), "", v, group, version, resource, sub, scope, "apiserver").Inc()
	if x.long() {
		return
	}
	m.seconds.WithLabelValues("", v, group, version, resource, sub, scope, "apiserver").Observe(took.Seconds())
	if v == "GET" || v == "LIST" {
		m.sizes.WithLabelValues(v, group, version, resource, sub, scope, "apiserver").Observe(float64(w.bytes))
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

// objects counts what is stored, when asked.
type objects struct{ h *Hub }

var objectsDesc = prometheus.NewDesc("apiserver_storage_objects",
	"Number of stored objects at the time of last check split by kind.", []string{"resource"}, nil)

var corruptDesc = prometheus.NewDesc("apiserver_storage_corrupt_objects",
	"Number of stored objects that cannot be read and are left out of lists, split by kind.", []string{"resource"}, nil)

func (o objects) Describe(ch chan<- *prometheus.Desc) {
	ch <- objectsDesc
	ch <- corruptDesc
}

func (o objects) Collect(ch chan<- prometheus.Metric) {
	for _, c := range o.h.caches {
		select {
		case <-c.Ready():
		default:
			continue
		}
		snap, err := c.Snapshot(context.Background(), 0) // ready: does not wait
		if err != nil {
			continue
		}
		n := snap.Len(c.Kind().StoragePrefix())
		ch <- prometheus.MustNewConstMetric(objectsDesc, prometheus.GaugeValue, float64(n), c.Kind().GR().String())
		if bad := len(snap.Bad("")); bad > 0 {
			ch <- prometheus.MustNewConstMetric(corruptDesc, prometheus.GaugeValue, float64(bad), c.Kind().GR().String())
		}
	}
}
