package admit

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Times counts how long admission takes, each plugin and each step as a whole, by operation and by whether it refused, under upstream's
// names. Nothing is held of an operation before the first of its kind; a count costs a few atomic additions, and what a scraper reads is
// made when it asks.
type Times struct {
	names [steps][]string // of the plugins of a step, in order
	rows  [steps][operations]atomic.Pointer[row]
}

// The steps of admission.
const (
	admitting = iota
	validating
	steps
)

// operations are those that are counted: create, update, delete, connect.
const operations = 4

// row is what is counted of one step of one operation; outcome 1 is a refusal.
type row struct {
	whole   [2]timing
	plugins [][2]timing // by place in the step
}

// timing is a histogram: how many took up to each bound, and longer, each in the lowest that holds; and how long all took.
type timing struct {
	buckets [len(timeBounds) + 1]atomic.Uint64
	nanos   atomic.Int64
}

var timeBounds = [...]float64{0.005, 0.025, 0.1, 0.5, 1.0, 2.5}

var (
	descStep = prometheus.NewDesc("apiserver_admission_step_admission_duration_seconds",
		"Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type (validate or admit).",
		[]string{"type", "operation", "rejected"}, nil)
	descPlugin = prometheus.NewDesc("apiserver_admission_controller_admission_duration_seconds",
		"Admission controller latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
		[]string{"name", "type", "operation", "rejected"}, nil)
)

func newTimes(mutators []Mutator, validators []Validator) *Times {
	t := &Times{}
	for _, m := range mutators {
		t.names[admitting] = append(t.names[admitting], m.Name())
	}
	for _, v := range validators {
		t.names[validating] = append(t.names[validating], v.Name())
	}
	return t
}

var started = time.Now()

// now is the time since the process began.
func now() time.Duration { return time.Since(started) }

func place(op Operation) int {
	switch op {
	case Create:
		return 0
	case Update:
		return 1
	case Delete:
		return 2
	}
	return 3
}

// row is that of a step of an operation, made at the first.
func (t *Times) row(step int, op Operation) *row {
	at := &t.rows[step][place(op)]
	if r := at.Load(); r != nil {
		return r
	}
	at.CompareAndSwap(nil, &row{plugins: make([][2]timing, len(t.names[step]))})
	return at.Load()
}

func (t *Times) plugin(step int, op Operation, i int, took time.Duration, err error) {
	t.row(step, op).plugins[i][outcome(err)].add(took)
}

func (t *Times) step(step int, op Operation, took time.Duration, err error) {
	t.row(step, op).whole[outcome(err)].add(took)
}

// outcome is 1 for a refusal; to begin anew with a newer object is none.
func outcome(err error) int {
	if err != nil && !errors.Is(err, ErrUnsure) {
		return 1
	}
	return 0
}

func (t *timing) add(took time.Duration) {
	i, s := 0, took.Seconds()
	for i < len(timeBounds) && s > timeBounds[i] {
		i++
	}
	t.buckets[i].Add(1)
	t.nanos.Add(int64(took))
}

// Describe implements prometheus.Collector.
func (t *Times) Describe(ch chan<- *prometheus.Desc) { ch <- descStep; ch <- descPlugin }

// Collect implements prometheus.Collector; of a chain without plugins there is nothing to tell.
func (t *Times) Collect(ch chan<- prometheus.Metric) {
	if t == nil {
		return
	}
	for step, kind := range [steps]string{"admit", "validate"} {
		for _, op := range []Operation{Create, Update, Delete, Connect} {
			r := t.rows[step][place(op)].Load()
			if r == nil {
				continue
			}
			for refused := range r.whole {
				rejected := strconv.FormatBool(refused == 1)
				r.whole[refused].collect(ch, descStep, kind, string(op), rejected)
				for i := range r.plugins {
					r.plugins[i][refused].collect(ch, descPlugin, t.names[step][i], kind, string(op), rejected)
				}
			}
		}
	}
}

func (t *timing) collect(ch chan<- prometheus.Metric, desc *prometheus.Desc, labels ...string) {
	upTo, n := make(map[float64]uint64, len(timeBounds)), uint64(0)
	for i, bound := range timeBounds {
		n += t.buckets[i].Load()
		upTo[bound] = n
	}
	if n += t.buckets[len(timeBounds)].Load(); n > 0 {
		ch <- prometheus.MustNewConstHistogram(desc, n, time.Duration(t.nanos.Load()).Seconds(), upTo, labels...)
	}
}
