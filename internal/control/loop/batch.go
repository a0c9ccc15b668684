package loop

import (
	"sync"
	"sync/atomic"
)

// inFlight bounds the writes of one key that go on at a time.
const inFlight = 128

// Together calls fn with 0…count-1, inFlight of them at a time, and returns when all have returned.
func Together(count int, fn func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(count, inFlight) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	wg.Wait()
}

// SlowStart is SlowStartEach for calls that are all alike.
func SlowStart(count int, fn func() error) (int, error) {
	return SlowStartEach(count, func(int) error { return fn() })
}

// SlowStartEach calls fn with 0…count-1, in parallel batches of 1, 2, 4, …, and stops after the first batch with an error: when a
// quota or a bad template refuses the first, the rest is not tried in vain. It returns the number of successes and the first
// error of the failed batch. Of a large batch inFlight calls go on at a time, which is enough for their writes to share the
// syncs of the disk.
func SlowStartEach(count int, fn func(i int) error) (int, error) {
	done := 0
	for batch := min(1, count); batch > 0; batch = min(2*batch, count-done) {
		errs := make([]error, batch)
		Together(batch, func(i int) { errs[i] = fn(done + i) })
		ok := 0
		var first error
		for _, err := range errs {
			if err == nil {
				ok++
			} else if first == nil {
				first = err
			}
		}
		done += ok
		if first != nil {
			return done, first
		}
	}
	return done, nil
}
