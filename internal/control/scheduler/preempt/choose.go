package preempt

import (
	"cmp"
	"math"
	"time"

	"sampan.dev/internal/control/scheduler/plugin"
)

// price is what the eviction of some pods costs, worked out once.
type price struct {
	most  int32     // the highest priority among them
	sum   int64     // of their priorities
	first time.Time // when the first of those with the highest priority started; zero: none has
}

// priceOf prices victims, the most important first; there must be one. In the sum each priority counts as above zero, so that more
// victims of a negative priority cost more and not less.
func priceOf(victims []*plugin.Pod) price {
	p := price{most: priority(victims[0].Pod)}
	for _, v := range victims {
		p.sum += int64(priority(v.Pod)) + math.MaxInt32 + 1
		if at := v.Status.StartTime; at != nil && priority(v.Pod) == p.most && (p.first.IsZero() || at.Time.Before(p.first)) {
			p.first = at.Time
		}
	}
	return p
}

// best returns the candidate whose victims cost least. There must be candidates.
func best(list []*candidate, now time.Time) *candidate {
	least := list[0]
	for _, c := range list[1:] {
		if costs(c, least, now) < 0 {
			least = c
		}
	}
	return least
}

// costs compares what two candidates cost: by how many budgets are violated, by the highest priority among the victims, by the sum
// of their priorities, by their number, and by how short the longest of the most important has run.
func costs(a, b *candidate, now time.Time) int {
	if c := cmp.Compare(a.violations, b.violations); c != 0 {
		return c
	}
	if c := cmp.Compare(a.price.most, b.price.most); c != 0 {
		return c
	}
	if c := cmp.Compare(a.price.sum, b.price.sum); c != 0 {
		return c
	}
	if c := cmp.Compare(len(a.victims), len(b.victims)); c != 0 {
		return c
	}
	return -a.price.began(now).Compare(b.price.began(now))
}

// began is first, or now where nothing has started.
func (p *price) began(now time.Time) time.Time {
	if p.first.IsZero() || p.first.After(now) {
		return now
	}
	return p.first
}
