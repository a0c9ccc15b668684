package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/control/scheduler/plugin"
)

// tally counts what upstream's metrics of a scheduler say. It belongs to the scheduler's goroutine, which writes it down itself when
// somebody asks, so that counting costs no lock.
type tally struct {
	attempts  map[result]*histogram // from the pop to the binding, or to the end without one
	algorithm histogram
	sli       map[int]*histogram // from the pod's coming to its binding, by attempts; 16 stands for more
	tries     histogram          // attempts of pods that were bound
	preempted int                // attempts to preempt
	victims   histogram
}

// result is how an attempt ended: scheduled, unschedulable or error.
type result struct{ profile, result string }

func newTally() *tally {
	return &tally{
		attempts: map[result]*histogram{}, sli: map[int]*histogram{},
		algorithm: rising(0.001, 2, 15), tries: rising(1, 2, 5), victims: rising(1, 2, 7),
	}
}

// ended counts an attempt that began at from.
func (t *tally) ended(profile, how string, from, now time.Time) {
	h := t.attempts[result{profile, how}]
	if h == nil {
		h = new(rising(0.001, 2, 15))
		t.attempts[result{profile, how}] = h
	}
	h.see(now.Sub(from).Seconds())
}

// bound counts a pod that has come to a node.
func (t *tally) bound(w *waiting, now time.Time) {
	n := min(w.attempts, 16)
	h := t.sli[n]
	if h == nil {
		h = new(rising(0.01, 2, 20))
		t.sli[n] = h
	}
	h.see(now.Sub(w.since).Seconds())
	t.tries.see(float64(w.attempts))
}

// histogram counts values by upper bounds.
type histogram struct {
	bounds []float64
	counts []uint64 // one more than bounds: what is above all
	sum    float64
	n      uint64
}

// rising makes a histogram with n bounds, each so many times the one before.
func rising(first, times float64, n int) histogram {
	h := histogram{counts: make([]uint64, n+1)}
	for i := range n {
		h.bounds = append(h.bounds, first*math.Pow(times, float64(i)))
	}
	return h
}

func (h *histogram) see(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i]++
	h.sum += v
	h.n++
}

// write writes the histogram in Prometheus's form; labels end with a comma where there are any.
func (h *histogram) write(w io.Writer, name, labels string) {
	var sum uint64
	for i, b := range h.bounds {
		sum += h.counts[i]
		fmt.Fprintf(w, "%s_bucket{%sle=\"%g\"} %d\n", name, labels, b, sum)
	}
	fmt.Fprintf(w, "%s_bucket{%sle=\"+Inf\"} %d\n", name, labels, h.n)
	own := strings.TrimSuffix(labels, ",")
	if own != "" {
		own = "{" + own + "}"
	}
	fmt.Fprintf(w, "%s_sum%s %g\n%s_count%s %d\n", name, own, h.sum, name, own, h.n)
}

// Metrics writes what there is to measure, under upstream's names, as of the end of the cycle at hand. It writes nothing when ctx ends
// before the scheduler, which must run, gets round to it.
func (s *Scheduler) Metrics(ctx context.Context, w io.Writer) {
	var b strings.Builder
	if s.ask(ctx, func() { s.measure(&b) }) {
		_, _ = io.WriteString(w, b.String())
	}
}

// ask has the scheduler's goroutine do f and reports whether it did before ctx ended.
func (s *Scheduler) ask(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	s.post(func() { f(); close(done) })
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// young are the metrics that upstream does not call stable yet.
var young = map[string]string{
	"scheduler_scheduling_algorithm_duration_seconds": "BETA", "scheduler_pod_scheduling_sli_duration_seconds": "BETA", "scheduler_cache_size": "ALPHA",
	"scheduler_unschedulable_pods": "BETA",
}

func (s *Scheduler) measure(w io.Writer) {
	head := func(name, kind, help string) {
		fmt.Fprintf(w, "# HELP %s [%s] %s\n# TYPE %s %s\n", name, cmp.Or(young[name], "STABLE"), help, name, kind)
	}
	t := s.tally
	head("scheduler_schedule_attempts_total", "counter", "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.")
	results := make([]result, 0, len(t.attempts))
	for r := range t.attempts {
		results = append(results, r)
	}
	slices.SortFunc(results, func(a, b result) int { return strings.Compare(a.profile+a.result, b.profile+b.result) })
	for _, r := range results {
		fmt.Fprintf(w, "scheduler_schedule_attempts_total{profile=%q,result=%q} %d\n", r.profile, r.result, t.attempts[r].n)
	}
	head("scheduler_scheduling_attempt_duration_seconds", "histogram", "Scheduling attempt latency in seconds (scheduling algorithm + binding)")
	for _, r := range results {
		t.attempts[r].write(w, "scheduler_scheduling_attempt_duration_seconds", fmt.Sprintf("profile=%q,result=%q,", r.profile, r.result))
	}
	head("scheduler_scheduling_algorithm_duration_seconds", "histogram", "Scheduling algorithm latency in seconds")
	t.algorithm.write(w, "scheduler_scheduling_algorithm_duration_seconds", "")
	head("scheduler_pod_scheduling_sli_duration_seconds", "histogram", "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.")
	for n := range 17 {
		if h := t.sli[n]; h != nil {
			name := fmt.Sprint(n)
			if n == 16 {
				name = "16+"
			}
			h.write(w, "scheduler_pod_scheduling_sli_duration_seconds", fmt.Sprintf("attempts=%q,", name))
		}
	}
	head("scheduler_pod_scheduling_attempts", "histogram", "Number of attempts to successfully schedule a pod.")
	t.tries.write(w, "scheduler_pod_scheduling_attempts", "")
	head("scheduler_preemption_attempts_total", "counter", "Total preemption attempts in the cluster till now")
	fmt.Fprintf(w, "scheduler_preemption_attempts_total %d\n", t.preempted)
	head("scheduler_preemption_victims", "histogram", "Number of selected preemption victims for preemption initiated by a single pod")
	t.victims.write(w, "scheduler_preemption_victims", "")
	s.measureQueue(w, head)
}

func (s *Scheduler) measureQueue(w io.Writer, head func(name, kind, help string)) {
	q := s.queue
	pending := map[string]int{}
	for _, w := range q.byUID {
		pending[partName(w)]++
	}
	head("scheduler_pending_pods", "gauge", "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulableEntities that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated; 'incomplete' means number of pods in incompletePodGroupPods; 'pending' means number of pods in pendingPodGroupPods.")
	parts := []string{"active", "backoff", "gated", "unschedulable"}
	if q.gangs != nil {
		parts = append(parts, "incomplete")
	}
	for _, part := range parts {
		fmt.Fprintf(w, "scheduler_pending_pods{queue=%q} %d\n", part, pending[part])
	}
	head("scheduler_unschedulable_pods", "gauge", "The number of unschedulable pods broken down by plugin name. A pod will increment the gauge for all plugins that caused it to not schedule and so this metric have meaning only when broken down by plugin.")
	kept := map[string]int{}
	for _, g := range q.groups {
		for w := range g.members { // one profile and the same plugins for all
			for _, by := range g.by {
				kept[fmt.Sprintf("plugin=%q,profile=%q", by.Name(), w.pod.Spec.SchedulerName)] += len(g.members)
			}
			break
		}
	}
	for _, labels := range slices.Sorted(maps.Keys(kept)) {
		fmt.Fprintf(w, "scheduler_unschedulable_pods{%s} %d\n", labels, kept[labels])
	}
	head("scheduler_queue_incoming_pods_total", "counter", "Number of pods added to scheduling queues by event and queue type.")
	keys := make([]string, 0, len(q.incoming))
	for k := range q.incoming {
		keys = append(keys, fmt.Sprintf("event=%q,queue=%q} %d", k.event, k.queue, q.incoming[k]))
	}
	slices.Sort(keys)
	for _, k := range keys {
		fmt.Fprintf(w, "scheduler_queue_incoming_pods_total{%s\n", k)
	}
	assumed := 0
	for _, at := range s.snapshot.placed {
		if at.pod.Spec.NodeName == "" {
			assumed++
		}
	}
	head("scheduler_cache_size", "gauge", "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.")
	fmt.Fprintf(w, "scheduler_cache_size{type=\"assumed_pods\"} %d\nscheduler_cache_size{type=\"nodes\"} %d\nscheduler_cache_size{type=\"pods\"} %d\n",
		assumed, len(s.snapshot.nodes), len(s.snapshot.placed))
}

// partName is upstream's name of the part of the queue that a pod is in. One of a gang is where its gang's turn is; while there is none it
// is incomplete without its PodGroup, and else gated.
func partName(w *waiting) string {
	switch {
	case w.state != inGang:
		return stateName(w.state)
	case w.gang.turn.state != 0:
		return stateName(w.gang.turn.state)
	case w.gang.group == nil:
		return "incomplete"
	}
	return "gated"
}

// stateName is upstream's name of a part of the queue.
func stateName(s state) string {
	switch s {
	case inActiveQ:
		return "active"
	case inBackoffQ, inErrorQ:
		return "backoff"
	case unschedulable:
		return "unschedulable"
	case gated:
		return "gated"
	}
	return "in flight"
}

// eventName is upstream's label of a change; of several at once it is that of the first.
func eventName(e plugin.Event) string {
	for _, one := range []struct {
		event plugin.Event
		name  string
	}{
		{plugin.NodeAdded, "NodeAdd"}, {plugin.NodeLeft, "NodeDelete"}, {plugin.NodeChanged, "NodeUpdate"}, {plugin.PodPlaced, "AssignedPodAdd"},
		{plugin.PodLeft, "AssignedPodDelete"}, {plugin.PodShrank | plugin.PodLabels, "AssignedPodUpdate"},
		{plugin.PodUpdated | plugin.TargetLabels, "PodUpdate"}, {plugin.StorageChanged, "StorageChange"},
	} {
		if e&one.event != 0 {
			return one.name
		}
	}
	return "Other"
}

// dump writes to the log what the scheduler takes for true: the nodes with what is asked of them, and the pods that wait.
func (s *Scheduler) dump() {
	on := map[string][]string{}
	for _, at := range s.snapshot.placed {
		name := at.pod.Namespace + "/" + at.pod.Name
		if at.pod.Spec.NodeName == "" {
			name += " (assumed)"
		}
		on[at.node] = append(on[at.node], name)
	}
	nodes := make([]string, 0, len(s.snapshot.byName))
	for name := range s.snapshot.byName {
		nodes = append(nodes, name)
	}
	slices.Sort(nodes)
	for _, name := range nodes {
		n := s.snapshot.byName[name]
		slices.Sort(on[name])
		var nominated []string
		for _, p := range s.snapshot.nominated.byNode[name] {
			nominated = append(nominated, p.Namespace+"/"+p.Name)
		}
		s.cfg.Log.Info("Dump of cached NodeInfo", "node", name, "deleted", !n.Known(), "requested", fmt.Sprintf("%+v", n.Requested),
			"allocatable", fmt.Sprintf("%+v", n.Allocatable), "pods", strings.Join(on[name], ","), "nominated", strings.Join(nominated, ","))
	}
	waiting := make([]string, 0, len(s.queue.byUID))
	for _, w := range s.queue.byUID {
		waiting = append(waiting, fmt.Sprintf("%s/%s: %s, %d attempts", w.pod.Namespace, w.pod.Name, partName(w), w.attempts))
	}
	slices.Sort(waiting)
	s.cfg.Log.Info("Dump of scheduling queue", "pods", strings.Join(waiting, "; "))
}
