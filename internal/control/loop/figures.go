package loop

import (
	"math"
	"time"
)

// Figures are what upstream's metrics tell of a work queue, client-go's workqueue: how many keys came and came again after a failure, how
// long they waited for a worker and how long they were worked on.
type Figures struct {
	Adds, Retries  uint64
	Depth          int           // keys that wait for a worker
	Waited, Worked Spread        // of keys that were taken, and given back
	Unfinished     time.Duration // how long the keys that workers have were worked on so far, together
	Longest        time.Duration // and the longest of them
}

// spreads is the number of bounds of a Spread.
const spreads = 10

// Spread counts durations by upper bounds of 10 ns, 100 ns and so on to 10 s.
type Spread struct {
	counts [spreads + 1]uint64 // by the lowest bound that holds; the last is above all
	sum    time.Duration
}

func (s *Spread) see(d time.Duration) {
	i := 0
	for bound := 10 * time.Nanosecond; i < spreads && d > bound; bound *= 10 {
		i++
	}
	s.counts[i]++
	s.sum += d
}

// Buckets are the counts up to each bound in seconds, as Prometheus has them, with the count of all and their sum in seconds.
func (s *Spread) Buckets() (upTo map[float64]uint64, n uint64, sum float64) {
	upTo = make(map[float64]uint64, spreads)
	for i, c := range s.counts {
		if n += c; i < spreads {
			upTo[math.Pow10(i-8)] = n
		}
	}
	return upTo, n, s.sum.Seconds()
}

func (s *Spread) add(o *Spread) {
	for i, c := range o.counts {
		s.counts[i] += c
	}
	s.sum += o.sum
}

// FiguresOf sums up the queues of the controllers that a runner is made of. A runner without any has the zero figures.
func FiguresOf(r Runner) Figures {
	var f Figures
	for _, c := range controllers(r) {
		f = f.plus(c.Queue.figures())
	}
	return f
}

// plus is both together.
func (f Figures) plus(o Figures) Figures {
	f.Adds, f.Retries, f.Depth = f.Adds+o.Adds, f.Retries+o.Retries, f.Depth+o.Depth
	f.Waited.add(&o.Waited)
	f.Worked.add(&o.Worked)
	f.Unfinished, f.Longest = f.Unfinished+o.Unfinished, max(f.Longest, o.Longest)
	return f
}

func (q *Queue) figures() Figures {
	q.mu.Lock()
	defer q.mu.Unlock()
	f, now := q.mu.figures, time.Since(q.made)
	f.Depth = len(q.mu.order)
	for _, since := range q.mu.taken {
		f.Unfinished += now - since
		f.Longest = max(f.Longest, now-since)
	}
	return f
}
