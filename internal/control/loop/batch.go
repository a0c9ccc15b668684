package loop

import "sync"

// SlowStart calls fn count times, in parallel batches of 1, 2, 4, …, and stops after the first batch with an error: when a
// quota or a bad template refuses the first, the rest is not tried in vain. It returns the number of successes and the first
// error of the failed batch.
func SlowStart(count int, fn func() error) (int, error) {
	done := 0
	for batch := min(1, count); batch > 0; batch = min(2*batch, count-done) {
		errs := make([]error, batch)
		var wg sync.WaitGroup
		for i := range batch {
			wg.Go(func() { errs[i] = fn() })
		}
		wg.Wait()
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
