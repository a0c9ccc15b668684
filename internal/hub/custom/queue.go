package custom

import (
	"context"
	"sync"
	"time"
)

// atOnce is how many definitions are worked on at a time.
const atOnce = 8

// How long is waited before a definition is tried again that something went wrong with; twice as long each time.
const (
	retryFirst = 50 * time.Millisecond
	retryLast  = 30 * time.Second
)

// queue has work done on names, on each by one goroutine at a time. There are goroutines only while there is work.
type queue struct {
	do func(ctx context.Context, name string) error

	mu struct {
		sync.Mutex
		waiting []string
		states  map[string]*state
		running int
		rest    chan struct{} // closed when nothing waits and nothing runs; nil when nobody cares
	}
	all sync.WaitGroup
}

// state is what becomes of a name that there is work on.
type state struct {
	waits, runs, again bool
	pause              time.Duration
}

func newQueue(do func(context.Context, string) error) *queue {
	q := &queue{do: do}
	q.mu.states = map[string]*state{}
	return q
}

// add has work done on names, once more on those that are worked on already.
func (q *queue) add(ctx context.Context, names ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, name := range names {
		s := q.mu.states[name]
		if s == nil {
			s = &state{pause: retryFirst}
			q.mu.states[name] = s
		}
		switch {
		case s.waits:
		case s.runs:
			s.again = true
		default:
			s.waits = true
			q.mu.waiting = append(q.mu.waiting, name)
		}
	}
	for range min(len(q.mu.waiting), atOnce-q.mu.running) {
		q.mu.running++
		q.all.Go(func() { q.run(ctx) })
	}
}

// run works until nothing waits.
func (q *queue) run(ctx context.Context) {
	for {
		name, s := q.next(ctx)
		if s == nil {
			return
		}
		q.done(ctx, name, s, q.do(ctx, name))
	}
}

func (q *queue) next(ctx context.Context) (string, *state) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.mu.waiting) == 0 || ctx.Err() != nil {
		if q.mu.running--; q.mu.running == 0 && q.mu.rest != nil {
			close(q.mu.rest)
			q.mu.rest = nil
		}
		return "", nil
	}
	name := q.mu.waiting[0]
	q.mu.waiting = q.mu.waiting[1:]
	s := q.mu.states[name]
	s.waits, s.runs = false, true
	return name, s
}

func (q *queue) done(ctx context.Context, name string, s *state, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.runs = false
	switch {
	case err != nil:
		pause := s.pause
		s.pause = min(2*pause, retryLast)
		q.all.Go(func() {
			select {
			case <-time.After(pause):
				q.add(ctx, name)
			case <-ctx.Done():
			}
		})
	case s.again:
		s.again, s.waits = false, true
		q.mu.waiting = append(q.mu.waiting, name)
	case !s.waits:
		delete(q.mu.states, name)
	}
}

// idle waits until there is nothing more to do, or ctx ends. What is tried again later does not count.
func (q *queue) idle(ctx context.Context) {
	q.mu.Lock()
	if q.mu.running == 0 {
		q.mu.Unlock()
		return
	}
	if q.mu.rest == nil {
		q.mu.rest = make(chan struct{})
	}
	rest := q.mu.rest
	q.mu.Unlock()
	select {
	case <-rest:
	case <-ctx.Done():
	}
}

// beside runs f in a goroutine that wait waits for.
func (q *queue) beside(f func()) { q.all.Go(f) }

// wait waits until all goroutines have ended, which they do when ctx has.
func (q *queue) wait() { q.all.Wait() }
