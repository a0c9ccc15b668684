package fairness

import (
	"sync/atomic"
)

// level is a priority level: its seats, and the queues of those that wait for one. The queues are guarded by Fairness.mu.
type level struct {
	name      string
	limits    atomic.Pointer[limits]
	uid       atomic.Pointer[[]string]
	executing atomic.Int64 // seats that are taken
	waiting   atomic.Int64 // requests

	queues map[int]*queue // those in which somebody waits or waited; nil before anybody has
	clock  float64        // how much the queue served last has been served
}

// takeOwn takes seats of the level's own, if so many are free. A request that is wider than the level is let in alone.
func (l *level) takeOwn(lim *limits, seats int64) bool {
	if n := l.executing.Add(seats); n <= lim.nominal || n == seats {
		return true
	}
	l.executing.Add(-seats)
	return false
}

// takeLocked takes seats: the level's own, or what others lend.
func (f *Fairness) takeLocked(l *level, seats int64) bool {
	lim := l.limits.Load()
	n := l.executing.Add(seats)
	if n <= lim.nominal || n == seats || n <= lim.ceiling && f.spareLocked(l) >= n-lim.nominal {
		return true
	}
	l.executing.Add(-seats)
	return false
}

// spareLocked is how many seats others lend to l: of each what it may lend and does not use, less what has been borrowed already. A
// lender takes its own seats back as soon as it wants them; until the borrowers' requests end, more go on than there are seats.
func (f *Fairness) spareLocked(l *level) int64 {
	var spare int64
	for _, o := range f.now.Load().levels {
		lim, n := o.limits.Load(), o.executing.Load()
		switch {
		case o == l || lim.exempt:
		case n > lim.nominal:
			spare -= n - lim.nominal
		case o.waiting.Load() == 0:
			spare += min(lim.lendable, lim.nominal-n)
		}
	}
	return spare
}

// borrowed is how many seats of others the level has.
func (l *level) borrowed() int64 {
	lim := l.limits.Load()
	if lim.exempt {
		return 0
	}
	return max(0, l.executing.Load()-lim.nominal)
}
