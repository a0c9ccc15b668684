package metrics

import (
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Gauge is a value that is seen when somebody asks.
type Gauge struct {
	Name, Level, Help string
	Labels            map[string]string
	Value             float64
}

// Handler answers with all that has been counted, with what read sees then, and with how the process is.
func (c *Counts) Handler(read func() []Gauge) http.Handler {
	ready := sync.OnceValue(func() http.Handler {
		r := prometheus.NewRegistry()
		r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), exposed{c, read})
		return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ready().ServeHTTP(w, r) })
}

// exposed turns counts and gauges into Prometheus' metrics.
type exposed struct {
	counts *Counts
	read   func() []Gauge
}

// Describe implements prometheus.Collector: what there is depends on what happens.
func (exposed) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (e exposed) Collect(out chan<- prometheus.Metric) {
	for _, g := range e.read() {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(g.Name, help(g.Level, g.Help), nil, g.Labels), prometheus.GaugeValue, g.Value)
	}
	c := e.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range families {
		if d := &counted[f]; len(d.labels) == 0 && d.buckets == nil {
			out <- prometheus.MustNewConstMetric(describe(f), prometheus.CounterValue, float64(c.mu.n[series{family: f}]))
		}
	}
	for s, n := range c.mu.n {
		if len(counted[s.family].labels) > 0 {
			out <- prometheus.MustNewConstMetric(describe(s.family), prometheus.CounterValue, float64(n), strings.Split(s.values, "\x00")...)
		}
	}
	for s, h := range c.mu.took {
		d := &counted[s.family]
		buckets, sum := map[float64]uint64{}, uint64(0)
		for i, bound := range d.buckets {
			sum += h.buckets[i]
			buckets[bound] = sum
		}
		var values []string
		if len(d.labels) > 0 {
			values = strings.Split(s.values, "\x00")
		}
		out <- prometheus.MustNewConstHistogram(describe(s.family), h.count, h.sum, buckets, values...)
	}
}

func describe(f Family) *prometheus.Desc {
	d := &counted[f]
	return prometheus.NewDesc(d.name, help(d.level, d.help), d.labels, nil)
}

// help is a help text as upstream's components write it.
func help(level, text string) string { return "[" + level + "] " + text }
