package preempt

import (
	"cmp"
	"math"
	"time"
)

// best returns the candidate whose victims cost least: by how many budgets are violated, by the highest priority among the
// victims, by the sum of their priorities, by their number, and by how short the longest of the most important has run.
// There must be candidates.
func best(list []candidate, now time.Time) candidate {
	least := 0
	for i := 1; i < len(list); i++ {
		if costs(&list[i], &list[least], now) < 0 {
			least = i
		}
	}
	return list[least]
}

// costs compares what two candidates cost.
func costs(a, b *candidate, now time.Time) int {
	return cmp.Or(
		cmp.Compare(a.violations, b.violations),
		cmp.Compare(priority(a.victims[0].Pod), priority(b.victims[0].Pod)),
		cmp.Compare(a.sum(), b.sum()),
		cmp.Compare(len(a.victims), len(b.victims)),
		-a.earliest(now).Compare(b.earliest(now)),
	)
}

// sum adds up the victims' priorities, each above zero, so that more victims of a negative priority cost more and not less.
func (c *candidate) sum() int64 {
	var sum int64
	for _, v := range c.victims {
		sum += int64(priority(v.Pod)) + math.MaxInt32 + 1
	}
	return sum
}

// earliest is when the first of the most important victims started.
func (c *candidate) earliest(now time.Time) time.Time {
	first := started(c.victims[0].Pod, now)
	for _, v := range c.victims {
		if at := started(v.Pod, now); priority(v.Pod) == priority(c.victims[0].Pod) && at.Before(first) {
			first = at
		}
	}
	return first
}
