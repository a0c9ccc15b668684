package loop

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The state of what a runner is made of is summed up, and names the last look that failed, also when it has been made good.
func TestStateOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var mended atomic.Bool
		c := &Controller{Name: "c", Queue: NewQueue(), Log: slog.New(slog.DiscardHandler), Reconcile: func(context.Context, string) (time.Duration, error) {
			if !mended.Load() {
				return 0, errors.New("boom")
			}
			return time.Hour, nil
		}}
		idle := &Controller{Name: "idle", Queue: NewQueue()}
		idle.Queue.Add("x")
		all := All{c, Then{Runner: idle}, Func(func(context.Context) error { return nil })}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		c.Queue.Add("a")
		synctest.Wait()
		s := StateOf(all)
		if s.Due != 1 || s.Failing != 1 || s.Delayed != 1 || s.Error != "boom" || s.Key != "a" || s.At == nil {
			t.Errorf("after a failure: %+v", s)
		}
		mended.Store(true)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := StateOf(all); s.Failing != 0 || s.Delayed != 1 || s.Error != "boom" {
			t.Errorf("made good: %+v", s)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// What runs after something else begins when that has ended well, and not otherwise.
func TestThen(t *testing.T) {
	boom := errors.New("boom")
	ran := false
	r := Func(func(context.Context) error { ran = true; return nil })
	if err := (Then{First: func(context.Context) error { return boom }, Runner: r}).Run(t.Context()); !errors.Is(err, boom) || ran {
		t.Errorf("%v, ran: %t", err, ran)
	}
	if err := (Then{First: func(context.Context) error { return nil }, Runner: r}).Run(t.Context()); err != nil || !ran {
		t.Errorf("%v, ran: %t", err, ran)
	}
}
