package probe

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Counted is what outcomes of probes are counted by.
type Counted struct {
	Kind                      Kind
	Result                    Result
	Namespace, Pod, Container string
	UID                       types.UID
}

// Counts are the outcomes of probes of the pods that are there. Every goroutine may use them.
type Counts struct {
	mu sync.Mutex
	n  map[Counted]uint64
}

// Add counts one outcome.
func (c *Counts) Add(what Counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[Counted]uint64{}
	}
	c.n[what]++
}

// Forget drops a pod's counts.
func (c *Counts) Forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for what := range c.n {
		if what.UID == uid {
			delete(c.n, what)
		}
	}
}

// Write writes the counts as /metrics/probes has them.
func (c *Counts) Write(w io.Writer) {
	c.mu.Lock()
	list := make([]Counted, 0, len(c.n))
	values := make(map[Counted]uint64, len(c.n))
	for what, n := range c.n {
		list, values[what] = append(list, what), n
	}
	c.mu.Unlock()
	if len(list) == 0 {
		return
	}
	slices.SortFunc(list, func(a, b Counted) int {
		return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod),
			cmp.Compare(a.UID, b.UID), cmp.Compare(a.Kind, b.Kind), cmp.Compare(resultLabel(a.Result), resultLabel(b.Result)))
	})
	fmt.Fprint(w, "# HELP prober_probe_total [BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.\n# TYPE prober_probe_total counter\n")
	for _, p := range list {
		fmt.Fprintf(w, "prober_probe_total{container=%q,namespace=%q,pod=%q,pod_uid=%q,probe_type=%q,result=%q} %d\n",
			p.Container, p.Namespace, p.Pod, p.UID, p.Kind, resultLabel(p.Result), values[p])
	}
}

func resultLabel(r Result) string {
	switch r {
	case Success:
		return "successful"
	case Failure:
		return "failed"
	}
	return "unknown"
}
