package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What a person is told of the parts follows them: started, failed with its reason, started again, calm.
func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := newGroup(ctx)
		changes := make(chan struct{}, 100)
		g.OnChange(func() { changes <- struct{}{} })
		began := time.Now()
		fail := make(chan struct{})
		g.Go("fine", waiter)
		g.Go("dns", func(ctx context.Context) error {
			select {
			case <-fail:
				return errors.New("port 53 is taken")
			case <-ctx.Done():
				return nil
			}
		})
		synctest.Wait()
		if g.Settled() {
			t.Error("settled before Settle")
		}
		g.Settle()
		if n := len(changes); n != 3 || !g.Settled() {
			t.Errorf("%d changes were told of two starts and Settle", n)
		}
		want := func(what string, w State) {
			t.Helper()
			all := g.States()
			if len(all) != 2 || all[0] != (State{Name: "fine", Running: true, Since: began}) {
				t.Errorf("%s: %+v", what, all)
			}
			if all[1] != w {
				t.Errorf("%s: %+v, want %+v", what, all[1], w)
			}
		}
		want("started", State{Name: "dns", Running: true, Since: began})
		time.Sleep(time.Second)
		close(fail)
		synctest.Wait()
		want("failed", State{Name: "dns", Since: began.Add(time.Second), Failures: 1, Error: "port 53 is taken"})
		for len(changes) > 0 {
			<-changes
		}
		cancel()
		_ = g.Wait()
	})
}

// Whoever asks nothing pays nothing, and the state of a part that was started again says since when it runs.
func TestStateAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := newGroup(ctx)
		runs := 0
		g.Go("once", func(ctx context.Context) error {
			if runs++; runs == 1 {
				time.Sleep(time.Second)
				return errors.New("boom")
			}
			return waiter(ctx)
		})
		g.Settle()
		time.Sleep(5 * time.Second)
		s := g.States()[0]
		if !s.Running || s.Failures != 1 || s.Error != "boom" || time.Since(s.Since) > 4*time.Second || time.Since(s.Since) < 3*time.Second {
			t.Errorf("after a restart: %+v", s)
		}
		time.Sleep(calm)
		if s := g.States()[0]; s.Failures != 0 || s.Error != "boom" {
			t.Errorf("calm: %+v", s)
		}
		cancel()
		_ = g.Wait()
	})
}
