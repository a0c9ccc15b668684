package policy

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apiservercel "k8s.io/apiserver/pkg/cel"
)

// Metrics count what policies decide, under upstream's names. A nil value counts nothing.
type Metrics struct {
	validations, mutations             *prometheus.CounterVec
	validationSeconds, mutationSeconds *prometheus.HistogramVec
}

var (
	labels  = []string{"policy", "policy_binding", "error_type", "enforcement_action"}
	buckets = []float64{0.0000005, 0.001, 0.01, 0.1, 1.0}
)

// NewMetrics makes them and registers them.
func NewMetrics(register func(...prometheus.Collector)) *Metrics {
	m := &Metrics{
		validations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_validating_admission_policy_check_total",
			Help: "Validation admission policy check total, labeled by policy and further identified by binding and enforcement action taken.",
		}, labels),
		validationSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_validating_admission_policy_check_duration_seconds",
			Help:    "Validation admission latency for individual validation expressions in seconds, labeled by policy and further including binding and enforcement action taken.",
			Buckets: buckets,
		}, labels),
		mutations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_mutating_admission_policy_check_total",
			Help: "Mutation admission policy check total, labeled by policy and further identified by binding.",
		}, labels[:3]),
		mutationSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_mutating_admission_policy_check_duration_seconds",
			Help:    "Mutation admission latency for individual mutation expressions in seconds, labeled by policy and binding.",
			Buckets: buckets,
		}, labels[:3]),
	}
	register(m.validations, m.validationSeconds, m.mutations, m.mutationSeconds)
	return m
}

func (m *Metrics) validated(policy, binding, action string, d *decision) {
	if m == nil {
		return
	}
	m.validations.WithLabelValues(policy, binding, errorType(d.err), action).Inc()
	m.validationSeconds.WithLabelValues(policy, binding, errorType(d.err), action).Observe(d.took.Seconds())
}

func (m *Metrics) mutated(policy, binding string, took time.Duration, err error) {
	if m == nil {
		return
	}
	m.mutations.WithLabelValues(policy, binding, errorType(err)).Inc()
	m.mutationSeconds.WithLabelValues(policy, binding, errorType(err)).Observe(took.Seconds())
}

// errorType is the label of an error.
func errorType(err error) string {
	switch {
	case err == nil:
		return "no_error"
	case errors.Is(err, apiservercel.ErrOutOfBudget):
		return "out_of_budget"
	case strings.HasPrefix(err.Error(), "compilation"):
		return "compile_error"
	}
	return "invalid_error"
}
