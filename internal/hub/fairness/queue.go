package fairness

import (
	"context"
	"hash/maphash"
	"slices"
	"time"
)

// queue is one of a level's queues. served is how many seats it has been given, on the level's clock: the queue that has been given
// least is served next, and one that was empty begins where the others are.
type queue struct {
	waiting []*waiter
	served  float64
}

// waiter is a request that waits. ready is closed when it has its seats.
type waiter struct {
	t       *Ticket
	q       *Request
	flow    string
	arrived time.Time
	ready   chan struct{}
}

// seed is random, so that nobody can choose names that meet in one queue.
var seed = maphash.MakeSeed()

// queue waits for seats, or refuses the request.
func (t *Ticket) queue(ctx context.Context, q *Request) error {
	f, l := t.f, t.level
	w, err := t.stand(q)
	if w == nil {
		return err
	}
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-w.ready:
		return nil
	case <-timer.C:
		err = ErrLate
	case <-ctx.Done():
		err = ErrEnded
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range l.queues {
		if i := slices.Index(line.waiting, w); i >= 0 {
			line.waiting = slices.Delete(line.waiting, i, i+1)
			f.goneLocked(t)
			if err == ErrLate {
				t.schema.counts.late.Add(1)
			} else {
				t.schema.counts.ended.Add(1)
			}
			return err
		}
	}
	return nil // it was served a moment ago
}

// stand takes seats, or puts the request into a queue of its level. It returns nil for a request that is let in or refused at once.
func (t *Ticket) stand(q *Request) (*waiter, error) {
	f, l := t.f, t.level
	lim := l.limits.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.waiting.Load() == 0 && f.takeLocked(l, t.seats) {
		t.begin()
		return nil, nil
	}
	if lim.rejects {
		t.schema.counts.limited.Add(1)
		return nil, ErrLimited
	}
	w := &waiter{t: t, q: q, flow: t.schema.flow(q), arrived: time.Now(), ready: make(chan struct{})}
	line := l.shortestLocked(lim, t.schema.name, w.flow)
	if len(line.waiting) >= lim.length {
		t.schema.counts.full.Add(1)
		return nil, ErrFull
	}
	if len(line.waiting) == 0 {
		line.served = max(line.served, l.clock)
	}
	line.waiting = append(line.waiting, w)
	l.waiting.Add(1)
	f.waiting.Add(1)
	t.schema.counts.waiting.Add(1)
	f.serveLocked() // who left meanwhile has not seen it
	return w, nil
}

// goneLocked counts a request that waits no more.
func (f *Fairness) goneLocked(t *Ticket) {
	t.level.waiting.Add(-1)
	f.waiting.Add(-1)
	t.schema.counts.waiting.Add(-1)
}

// shortestLocked is, of the few queues that are dealt to a flow, the one with the fewest seats waited for. Two flows that meet in one
// queue seldom meet in all of theirs, so that a flow which fills its queues leaves others a queue.
func (l *level) shortestLocked(lim *limits, schema, flow string) *queue {
	if l.queues == nil {
		l.queues = map[int]*queue{}
	}
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(schema) //nolint:errcheck // it cannot fail
	h.WriteByte(0)        //nolint:errcheck // it cannot fail
	h.WriteString(flow)   //nolint:errcheck // it cannot fail
	var best *queue
	for _, i := range deal(h.Sum64(), lim.queues, lim.hand) {
		line := l.queues[i]
		if line == nil {
			line = &queue{}
			l.queues[i] = line
		}
		if best == nil || line.width() < best.width() {
			best = line
		}
	}
	return best
}

// deal deals a hand of distinct cards out of a deck, by a hash.
func deal(hash uint64, deck, hand int) []int {
	out := make([]int, 0, hand)
	for i := range hand {
		left := uint64(deck - i)
		card := int(hash % left)
		hash /= left
		at := 0
		for at < len(out) && out[at] <= card { // out is kept in order: cards that are gone are skipped
			card++
			at++
		}
		out = slices.Insert(out, at, card)
	}
	return out
}

// width is the sum of the seats that are waited for.
func (line *queue) width() (n int64) {
	for _, w := range line.waiting {
		n += w.t.seats
	}
	return n
}

// serveLocked gives seats to those who wait, as far as there are some.
func (f *Fairness) serveLocked() {
	if f.waiting.Load() == 0 {
		return
	}
	for _, l := range f.mu.levels {
		for l.waiting.Load() > 0 {
			line := l.nextLocked()
			w := line.waiting[0]
			if !f.takeLocked(l, w.t.seats) {
				break
			}
			line.waiting = slices.Delete(line.waiting, 0, 1)
			l.clock = line.served
			line.served += float64(w.t.seats)
			f.goneLocked(w.t)
			c := w.t.schema.counts
			c.waited.Add(1)
			c.waitedNanos.Add(int64(time.Since(w.arrived)))
			w.t.begin()
			close(w.ready)
		}
	}
}

// nextLocked is the queue that is served next: of those in which somebody waits the one that has been given least.
func (l *level) nextLocked() *queue {
	var best *queue
	bestAt := 0
	for i, line := range l.queues {
		if len(line.waiting) == 0 {
			continue
		}
		if best == nil || line.served < best.served || line.served == best.served && i < bestAt {
			best, bestAt = line, i
		}
	}
	return best
}
