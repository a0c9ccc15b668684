package loop

import (
	"context"
	"sync"
	"time"
)

// Backoff says how long a key that fails waits: First after the first failure, twice as long after each further one, at most
// Longest.
type Backoff struct{ First, Longest time.Duration }

// usual is the backoff of client-go's default item limiter.
var usual = Backoff{First: 5 * time.Millisecond, Longest: 1000 * time.Second}

// Queue holds keys that need work. A key that is added several times before a worker takes it is handed out once, and a
// key that is added while a worker has it is handed out again after that worker's Done: no key is worked on twice at the
// same time, and no change that was announced by Add goes unseen by a later look.
type Queue struct {
	mu struct {
		sync.Mutex
		order    []string                 // waiting, oldest first
		waiting  map[string]time.Duration // since when, counted from made
		taken    map[string]time.Duration
		delayed  map[string]delayed
		failures map[string]int
		closed   bool
		figures  Figures // but for what the maps tell
	}
	made    time.Time
	backoff Backoff
	ready   chan struct{} // holds a token while order may be non-empty
	down    chan struct{} // closed by ShutDown
}

type delayed struct {
	at    time.Time
	timer *time.Timer
}

// NewQueue makes an empty queue whose keys wait from 5 ms to 1000 s after failures.
func NewQueue() *Queue { return NewQueueWith(usual) }

// NewQueueWith makes an empty queue with a backoff of its own.
func NewQueueWith(b Backoff) *Queue {
	q := &Queue{made: time.Now(), backoff: b, ready: make(chan struct{}, 1), down: make(chan struct{})}
	q.mu.waiting = map[string]time.Duration{}
	q.mu.taken = map[string]time.Duration{}
	q.mu.delayed = map[string]delayed{}
	q.mu.failures = map[string]int{}
	return q
}

// Add makes key due now.
func (q *Queue) Add(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(key)
}

func (q *Queue) addLocked(key string) {
	if _, waits := q.mu.waiting[key]; waits || q.mu.closed {
		return
	}
	q.mu.waiting[key] = time.Since(q.made)
	q.mu.figures.Adds++
	if _, taken := q.mu.taken[key]; !taken {
		q.mu.order = append(q.mu.order, key)
		q.wakeLocked()
	}
}

func (q *Queue) wakeLocked() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// AddAfter makes key due after d. Of several delays of one key the one that ends first counts.
func (q *Queue) AddAfter(key string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed {
		return
	}
	if d <= 0 {
		q.addLocked(key)
		return
	}
	at := time.Now().Add(d)
	if old, ok := q.mu.delayed[key]; ok {
		if !at.Before(old.at) {
			return
		}
		old.timer.Stop()
	}
	q.mu.delayed[key] = delayed{at: at, timer: time.AfterFunc(d, func() { q.due(key, at) })}
}

func (q *Queue) due(key string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e, ok := q.mu.delayed[key]; !ok || !e.at.Equal(at) {
		return // replaced by an earlier one meanwhile
	}
	delete(q.mu.delayed, key)
	q.addLocked(key)
}

// Retry makes key due after its backoff, which grows until Forget. It returns the number of failures in a row.
func (q *Queue) Retry(key string) int {
	q.mu.Lock()
	n := q.mu.failures[key]
	q.mu.failures[key] = n + 1
	q.mu.figures.Retries++
	q.mu.Unlock()
	q.AddAfter(key, q.backoff.after(n))
	return n + 1
}

// after is the wait of a key that has failed n times in a row before this failure.
func (b Backoff) after(n int) time.Duration {
	d := b.First
	for ; n > 0 && d < b.Longest; n-- {
		d *= 2
	}
	return min(d, b.Longest)
}

// Forget resets the backoff of key.
func (q *Queue) Forget(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.mu.failures, key)
}

// Failures counts the failures of key since it was last forgotten.
func (q *Queue) Failures(key string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.failures[key]
}

// Get waits for a key that is due and takes it; the caller calls Done with it. It returns false when ctx ends or the queue
// is shut down.
func (q *Queue) Get(ctx context.Context) (string, bool) {
	for {
		if key, ok := q.take(); ok {
			return key, true
		}
		select {
		case <-q.ready:
		case <-q.down:
			return "", false
		case <-ctx.Done():
			return "", false
		}
	}
}

func (q *Queue) take() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed || len(q.mu.order) == 0 {
		return "", false
	}
	key := q.mu.order[0]
	q.mu.order[0] = ""
	q.mu.order = q.mu.order[1:]
	now := time.Since(q.made)
	q.mu.figures.Waited.see(now - q.mu.waiting[key])
	delete(q.mu.waiting, key)
	q.mu.taken[key] = now
	if len(q.mu.order) > 0 {
		q.wakeLocked() // the token was for all of them; pass it on to the next worker
	}
	return key, true
}

// Done gives key back. If it was added meanwhile it is due again.
func (q *Queue) Done(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if since, ok := q.mu.taken[key]; ok {
		q.mu.figures.Worked.see(time.Since(q.made) - since)
	}
	delete(q.mu.taken, key)
	if _, waits := q.mu.waiting[key]; waits && !q.mu.closed {
		q.mu.order = append(q.mu.order, key)
		q.wakeLocked()
	}
}

// Len counts the keys that are due now.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.order)
}

// ShutDown drops all keys and lets every Get return false, now and later.
func (q *Queue) ShutDown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed {
		return
	}
	q.mu.closed = true
	for _, e := range q.mu.delayed {
		e.timer.Stop()
	}
	clear(q.mu.delayed)
	clear(q.mu.waiting)
	q.mu.order = nil
	close(q.down)
}
