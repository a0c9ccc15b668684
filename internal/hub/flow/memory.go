package flow

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// What a byte costs while a request is under way. A body is there as it came, decoded, encoded for the store, in the store's
// log and in its uncommitted pages, and as an event. An answer is counted as what is made of it.
const (
	bodyCost   = 8
	answerCost = 2
)

// How much of the memory may be in use, in percent, for a body to be taken on, and for an answer: writes, which make what is
// kept grow, stop first, and what is kept can still be read and deleted.
const (
	bodiesUpTo  = 60
	answersUpTo = 75
)

// spare is how much of the memory that is free requests may fill; the rest is the collector's, which lags behind.
const spare = 2

// Memory has the budgets of a process that may use so many bytes.
type Memory struct {
	Bodies  *Budget
	Answers *Budget
}

// NewMemory makes the budgets; limit 0 is a process that knows no limit.
func NewMemory(limit int64) *Memory { return newMemory(limit, live) }

func newMemory(limit int64, live func() int64) *Memory {
	var collected atomic.Int64
	of := func(upTo, cost int64) *Budget {
		b := NewBudget(func() int64 {
			if limit <= 0 {
				return math.MaxInt64
			}
			return max(0, limit/100*upTo-live()) / spare / cost
		})
		b.relieve = func() { collect(&collected) }
		return b
	}
	return &Memory{Bodies: of(bodiesUpTo, bodyCost), Answers: of(answersUpTo, answerCost)}
}

// collectEvery is how often memory is looked for at most.
const collectEvery = 2 * time.Second

// collect looks for memory that can be used again, unless somebody has done so a moment ago. What is in use is known as of
// the last collection, and a server that refuses everything makes no garbage that would bring about the next.
func collect(last *atomic.Int64) {
	now, then := time.Now().UnixNano(), last.Load()
	if now-then >= int64(collectEvery) && last.CompareAndSwap(then, now) {
		runtime.GC()
	}
}

// live is how many bytes the last garbage collection found in use.
func live() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(s[0].Value.Uint64())
}
