package loop

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// A reconcile that panics is one that failed: its key comes again later, and the other keys do not notice.
func TestPanicIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		seen := map[string]int{}
		c := &Controller{Name: "test", Queue: NewQueue(), Log: slog.New(slog.DiscardHandler)}
		c.Reconcile = func(_ context.Context, key string) (time.Duration, error) {
			if seen[key]++; key == "bad" && seen[key] < 4 {
				panic("oh")
			}
			return 0, nil
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		for _, key := range []string{"bad", "a", "b"} {
			c.Queue.Add(key)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if seen["bad"] != 4 || seen["a"] != 1 || seen["b"] != 1 {
			t.Errorf("seen %v", seen)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
