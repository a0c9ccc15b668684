package webhook

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what comes of asking webhooks, under upstream's names. A nil value counts nothing.
type Metrics struct {
	seconds  *prometheus.HistogramVec
	requests *prometheus.CounterVec
	rejected *prometheus.CounterVec
	open     *prometheus.CounterVec
}

// NewMetrics makes them and registers them.
func NewMetrics(register func(...prometheus.Collector)) *Metrics {
	m := &Metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_admission_webhook_admission_duration_seconds",
			Help:    "Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
			Buckets: []float64{0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25},
		}, []string{"name", "type", "operation", "rejected"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_admission_webhook_request_total",
			Help: "Admission webhook request total, identified by name and broken out for each admission type (validating or mutating) and operation. Additional labels specify whether the request was rejected or not and an HTTP status code. Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
		}, []string{"name", "type", "operation", "code", "rejected"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_admission_webhook_rejection_count",
			Help: "Admission webhook rejection count, identified by name and broken out for each admission type (validating or admit) and operation. Additional labels specify an error type (calling_webhook_error or apiserver_internal_error if an error occurred; no_error otherwise) and optionally a non-zero rejection code if the webhook rejects the request with an HTTP status code (honored by the apiserver when the code is greater or equal to 400). Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
		}, []string{"name", "type", "operation", "error_type", "rejection_code"}),
		open: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_admission_webhook_fail_open_count",
			Help: "Admission webhook fail open count, identified by name and broken out for each admission type (validating or admit).",
		}, []string{"name", "type"}),
	}
	register(m.seconds, m.requests, m.rejected, m.open)
	return m
}

// observation is what came of asking a webhook once.
type observation struct {
	hook, kind, operation string
	took                  time.Duration
	code                  int32
	rejected, open        bool
	why                   string // "" for no rejection that is counted
}

func (m *Metrics) observe(o observation) {
	if m == nil {
		return
	}
	rejected, code := strconv.FormatBool(o.rejected), strconv.Itoa(int(min(o.code, 600)))
	m.seconds.WithLabelValues(o.hook, o.kind, o.operation, rejected).Observe(o.took.Seconds())
	m.requests.WithLabelValues(o.hook, o.kind, o.operation, code, rejected).Inc()
	if o.why != "" {
		m.rejected.WithLabelValues(o.hook, o.kind, o.operation, o.why, code).Inc()
	}
	if o.open {
		m.open.WithLabelValues(o.hook, o.kind).Inc()
	}
}
