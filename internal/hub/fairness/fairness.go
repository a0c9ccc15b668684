package fairness

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
)

// Patience is how long a request waits for a seat: a quarter of the longest that a request may last.
const Patience = 15 * time.Second

// Why a request is refused, in upstream's words, which are labels of metrics too.
var (
	ErrFull    = errors.New("queue-full")
	ErrLimited = errors.New("concurrency-limit")
	ErrLate    = errors.New("time-out")
	ErrEnded   = errors.New("cancelled")
)

// Fairness lets requests in.
//
// The counts of levels are changed by atomic additions. mu guards the queues of all levels and what is known by name; it is taken by a
// request that finds no seat of its level's own free, and by one that leaves while another waits. What makes the way without the lock
// equal to that with it: only a request that finds nobody waiting in its level takes it, it takes a seat only among the level's own, and
// whoever leaves looks for those who wait after it has given its seats back, while those who begin to wait look for seats once more
// after they have said that they wait.
type Fairness struct {
	seats   int64 // of all levels together
	now     atomic.Pointer[rules]
	waiting atomic.Int64 // requests of all levels

	mu struct {
		sync.Mutex
		levels  map[string]*level
		schemas map[string]*schema
		served  uint64 // requests that have been let in after they waited: it numbers them
	}
}

// New makes it with so many seats and upstream's default rules.
func New(seats int64) *Fairness {
	f := &Fairness{seats: max(1, seats)}
	f.mu.levels, f.mu.schemas = map[string]*level{}, map[string]*schema{}
	f.Set(Defaults())
	return f
}

// Set puts other rules in force. Requests that wait or are under way stay with the level that they came to.
func (f *Fairness) Set(schemas []*flowcontrolv1.FlowSchema, levels []*flowcontrolv1.PriorityLevelConfiguration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := compile(schemas, levels, f.seats, func(name string) *level {
		l := f.mu.levels[name]
		if l == nil {
			l = &level{name: name}
			f.mu.levels[name] = l
		}
		return l
	}, func(name string) *schema { return f.mu.schemas[name] })
	clear(f.mu.schemas)
	for _, s := range r.schemas {
		f.mu.schemas[s.name] = s
	}
	f.now.Store(r)
	f.serveLocked()
}

// Ticket is a request that has been classified.
type Ticket struct {
	f      *Fairness
	schema *schema
	level  *level
	seats  int64
}

// Headers are the values of X-Kubernetes-PF-FlowSchema-UID and X-Kubernetes-PF-PriorityLevel-UID; they are shared.
func (t *Ticket) Headers() (schema, level []string) { return t.schema.uid, *t.level.uid.Load() }

// Exempt reports whether the request belongs to a level that lets all in.
func (t *Ticket) Exempt() bool { return t.level.limits.Load().exempt }

// Classify finds out which flow a request belongs to.
func (f *Fairness) Classify(q *Request) Ticket {
	s := f.now.Load().classify(q)
	return Ticket{f: f, schema: s, level: s.level}
}

// Enter takes seats for the request, and waits for them if it must. Leave gives them back. A request that is refused is not to leave.
func (t *Ticket) Enter(ctx context.Context, q *Request, seats int64) error {
	l := t.level
	lim := l.limits.Load()
	t.seats = min(max(seats, 1), max(lim.widest, 1))
	if lim.exempt || l.waiting.Load() == 0 && l.takeOwn(lim, t.seats) {
		if lim.exempt {
			l.executing.Add(t.seats)
		}
		t.begin()
		return nil
	}
	return t.queue(ctx, q)
}

// begin counts a request that has been let in.
func (t *Ticket) begin() {
	t.schema.counts.dispatched.Add(1)
	t.schema.counts.executing.Add(1)
}

// Leave gives back what Enter took.
func (t *Ticket) Leave() {
	t.schema.counts.executing.Add(-1)
	t.level.executing.Add(-t.seats)
	if t.f.waiting.Load() > 0 {
		t.f.mu.Lock()
		t.f.serveLocked()
		t.f.mu.Unlock()
	}
}
