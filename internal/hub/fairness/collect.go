package fairness

import (
	"github.com/prometheus/client_golang/prometheus"
)

var (
	perSchema = []string{"priority_level", "flow_schema"}
	perLevel  = []string{"priority_level"}

	descDispatched = desc("dispatched_requests_total", "Number of requests executed by API Priority and Fairness subsystem", perSchema...)
	descRejected   = desc("rejected_requests_total", "Number of requests rejected by API Priority and Fairness subsystem", "priority_level", "flow_schema", "reason")
	descInQueue    = desc("current_inqueue_requests", "Number of requests currently pending in queues of the API Priority and Fairness subsystem", perSchema...)
	descExecuting  = desc("current_executing_requests", "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem", perSchema...)
	descSeats      = desc("current_executing_seats", "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem", perLevel...)
	descNominal    = desc("nominal_limit_seats", "Nominal number of execution seats configured for each priority level", perLevel...)
	descLower      = desc("lower_limit_seats", "Configured lower bound on number of execution seats available to each priority level", perLevel...)
	descUpper      = desc("upper_limit_seats", "Configured upper bound on number of execution seats available to each priority level", perLevel...)
	descCurrent    = desc("current_limit_seats", "current derived number of execution seats available to each priority level", perLevel...)
	descWait       = desc("request_wait_duration_seconds", "Length of time a request spent waiting in its queue", "priority_level", "flow_schema", "execute")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("apiserver_flowcontrol_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (f *Fairness) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descDispatched, descRejected, descInQueue, descExecuting, descSeats, descNominal, descLower, descUpper, descCurrent, descWait} {
		ch <- d
	}
}

// Collect implements prometheus.Collector: the counts are there already, so that a request pays for no metric. Of the times that
// requests waited only the sum is kept; those that did not wait are in the lowest bucket.
func (f *Fairness) Collect(ch chan<- prometheus.Metric) {
	r := f.now.Load()
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for _, s := range r.schemas {
		c, l := s.counts, s.level.name
		if n := c.dispatched.Load(); n > 0 {
			counter(descDispatched, n, l, s.name)
			waited := c.waited.Load()
			ch <- prometheus.MustNewConstHistogram(descWait, uint64(n), float64(c.waitedNanos.Load())/1e9,
				map[float64]uint64{0: uint64(max(0, n-waited)), Patience.Seconds(): uint64(n)}, l, s.name, "true")
			gauge(descExecuting, c.executing.Load(), l, s.name)
			gauge(descInQueue, c.waiting.Load(), l, s.name)
		}
		for reason, n := range map[error]int64{ErrFull: c.full.Load(), ErrLimited: c.limited.Load(), ErrLate: c.late.Load(), ErrEnded: c.ended.Load()} {
			if n > 0 {
				counter(descRejected, n, l, s.name, reason.Error())
			}
		}
	}
	for _, l := range r.levels {
		lim := l.limits.Load()
		gauge(descSeats, l.executing.Load(), l.name)
		gauge(descNominal, lim.nominal, l.name)
		gauge(descLower, lim.nominal-lim.lendable, l.name)
		gauge(descUpper, max(lim.ceiling, lim.nominal), l.name)
		gauge(descCurrent, lim.nominal+l.borrowed(), l.name)
	}
}
