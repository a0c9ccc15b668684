package scheduler

import (
	"bytes"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metricsIn is how long a scheduler has for its metrics, which it writes between two cycles.
const metricsIn = 5 * time.Second

// Collector is the metrics of the scheduler that runs by c, for a registry that has others too; while none runs there are none.
func (c *Config) Collector() prometheus.Collector { return collector{c} }

type collector struct{ *Config }

// Describe implements prometheus.Collector: which metrics there are depends on what has happened.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. The scheduler writes text, which is what its own /metrics serves; it is read here, so that
// the registry can write it in the form that is asked for.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.runs.Load()
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), metricsIn)
	defer cancel()
	var text bytes.Buffer
	s.Metrics(ctx, &text)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&text)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		return
	}
	for name, family := range families {
		for _, m := range family.Metric {
			ch <- written{prometheus.NewDesc(name, family.GetHelp(), labels(m), nil), m}
		}
	}
}

// labels are the names of a metric's labels.
func labels(m *dto.Metric) []string {
	names := make([]string, 0, len(m.Label))
	for _, l := range m.Label {
		names = append(names, l.GetName())
	}
	return names
}

// written is a metric that has been written by somebody else.
type written struct {
	desc *prometheus.Desc
	m    *dto.Metric
}

// Desc implements prometheus.Metric.
func (w written) Desc() *prometheus.Desc { return w.desc }

// Write implements prometheus.Metric.
func (w written) Write(to *dto.Metric) error {
	to.Label, to.Counter, to.Gauge, to.Histogram = w.m.Label, w.m.Counter, w.m.Gauge, w.m.Histogram
	return nil
}
