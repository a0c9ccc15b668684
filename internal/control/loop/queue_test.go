package loop

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueHandsOutAKeyOnce(t *testing.T) {
	q := NewQueue()
	ctx := t.Context()
	q.Add("a")
	q.Add("a")
	q.Add("b")
	if n := q.Len(); n != 2 {
		t.Fatalf("due: %d, want 2", n)
	}
	k, _ := q.Get(ctx)
	if k != "a" {
		t.Fatalf("first key %q", k)
	}
	q.Add("a") // while taken: due again only after Done
	if k, _ = q.Get(ctx); k != "b" {
		t.Fatalf("second key %q", k)
	}
	if n := q.Len(); n != 0 {
		t.Fatalf("a was handed out while taken")
	}
	q.Done("a")
	if k, _ = q.Get(ctx); k != "a" {
		t.Fatalf("after done: %q", k)
	}
	q.Done("a")
	q.Done("b")
	q.ShutDown()
	if _, ok := q.Get(ctx); ok {
		t.Fatal("key from a queue that is down")
	}
}

func TestQueueDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		defer q.ShutDown()
		start := time.Now()
		q.AddAfter("a", time.Minute)
		q.AddAfter("a", time.Second)
		q.AddAfter("a", time.Hour)
		if k, _ := q.Get(t.Context()); k != "a" || time.Since(start) != time.Second {
			t.Fatalf("%q after %v", k, time.Since(start))
		}
		q.Done("a")
		time.Sleep(2 * time.Hour)
		if n := q.Len(); n != 0 {
			t.Fatalf("a later delay fired too")
		}
	})
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 5 * time.Millisecond, 1: 10 * time.Millisecond, 10: 5120 * time.Millisecond,
		17: 655360 * time.Millisecond, 18: 1000 * time.Second, 1 << 30: 1000 * time.Second} {
		if got := usual.after(n); got != want {
			t.Errorf("after(%d) = %v, want %v", n, got, want)
		}
	}
}

func TestControllerRetriesAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		c := &Controller{Name: "test", Workers: 3, Queue: NewQueue(), Log: slog.New(slog.DiscardHandler)}
		c.Reconcile = func(context.Context, string) (time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(start))
			switch len(at) {
			case 1, 2, 3:
				return 0, errors.New("no")
			case 4:
				return time.Second, nil
			}
			return 0, nil
		}
		c.Queue.Add("k")
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, 5, 15, 35, 1035}
		if len(at) != len(want) {
			t.Fatalf("calls at %v", at)
		}
		for i := range want {
			if at[i] != want[i]*time.Millisecond {
				t.Errorf("call %d at %v, want %dms", i, at[i], want[i])
			}
		}
	})
}

// A key is never worked on twice at once, and nothing that was added is lost, whatever the workers do.
func TestControllerExcludesAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		keys := []string{"a", "b", "c", "d", "e"}
		state := map[string]*struct{ want, seen, inside atomic.Int64 }{}
		for _, k := range keys {
			state[k] = &struct{ want, seen, inside atomic.Int64 }{}
		}
		c := &Controller{Name: "test", Workers: 4, Queue: NewQueue(), Log: slog.New(slog.DiscardHandler)}
		c.Reconcile = func(_ context.Context, key string) (time.Duration, error) {
			s := state[key]
			if s.inside.Add(1) != 1 {
				t.Errorf("%s is worked on twice at once", key)
			}
			s.seen.Store(s.want.Load())
			time.Sleep(3 * time.Millisecond)
			s.inside.Add(-1)
			return 0, nil
		}
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		for i := range 1000 {
			k := keys[i%len(keys)]
			state[k].want.Add(1)
			c.Queue.Add(k)
			if i%7 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		for _, k := range keys {
			if s := state[k]; s.seen.Load() != s.want.Load() {
				t.Errorf("%s: seen %d of %d", k, s.seen.Load(), s.want.Load())
			}
		}
		cancel()
		<-done
	})
}

// A key that is slow to look at rests, and what is announced meanwhile is looked at once, afterwards.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var looks []time.Duration
		began := time.Now()
		q := NewQueue()
		c := &Controller{Name: "test", Workers: 2, Rest: 4, Queue: q, Log: slog.New(slog.DiscardHandler), Reconcile: func(context.Context, string) (time.Duration, error) {
			looks = append(looks, time.Since(began))
			time.Sleep(10 * time.Millisecond)
			return 0, nil
		}}
		go func() { _ = c.Run(ctx) }()
		for range 60 {
			q.Add("k")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(looks) != 3 || looks[1] != 50*time.Millisecond || looks[2] != 100*time.Millisecond {
			t.Errorf("looks at %v", looks)
		}
		cancel()
		synctest.Wait()
	})
}
