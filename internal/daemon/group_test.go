package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newGroup(parent context.Context) *Group {
	return NewGroup(parent, slog.New(slog.DiscardHandler))
}

func waiter(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestGroupStopsAllWhenOneFailsAtStart(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name string
		run  func(context.Context) error
		want string
	}{
		{"error", func(context.Context) error { return boom }, "failer: boom"},
		{"return", func(context.Context) error { return nil }, "failer: ended by itself"},
		{"panic", func(context.Context) error { panic("oh") }, "failer: panic: oh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGroup(t.Context())
			stopped := make(chan struct{})
			g.Go("waiter", func(ctx context.Context) error { defer close(stopped); return waiter(ctx) })
			g.Go("failer", c.run)
			if err := g.Wait(); err == nil || err.Error() != c.want {
				t.Fatalf("Wait = %v", err)
			}
			<-stopped
		})
	}
}

func TestGroupEndsCleanlyWithItsParent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := newGroup(ctx)
	g.Go("waiter", waiter)
	cancel()
	if err := g.Wait(); err != nil {
		t.Fatalf("Wait = %v", err)
	}
}

// Once the group has settled, a part that fails in whatever way is started again, and no other one ends.
func TestPartIsStartedAgainAlone(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":  func() error { return errors.New("boom") },
		"return": func() error { return nil },
		"panic":  func() error { panic("oh") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				g := newGroup(ctx)
				others, runs := 0, 0
				g.Go("other", func(ctx context.Context) error { others++; return waiter(ctx) })
				failing := make(chan struct{})
				g.Go("failer", func(ctx context.Context) error {
					if runs++; runs > 5 {
						return waiter(ctx)
					}
					<-failing
					return fail()
				})
				g.Settle()
				close(failing)
				time.Sleep(time.Minute)
				synctest.Wait()
				if runs != 6 || others != 1 || g.Context().Err() != nil {
					t.Errorf("the part ran %d times, the other %d, group: %v", runs, others, g.Context().Err())
				}
				if err := g.Check(ctx); err != nil {
					t.Errorf("trouble is remembered after it has been calm: %v", err)
				}
				cancel()
				if err := g.Wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The first restart comes quickly, the following ones later and later up to a bound, and after a calm the first is quick again.
func TestRestartsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := newGroup(ctx)
		var begun []time.Time
		g.Go("failer", func(ctx context.Context) error {
			begun = append(begun, time.Now())
			g.Settle()
			if len(begun) == 15 {
				time.Sleep(calm)
			}
			return errors.New("boom")
		})
		time.Sleep(10 * time.Minute)
		cancel()
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(begun) < 17 {
			t.Fatalf("%d runs in ten minutes", len(begun))
		}
		for i := 1; i < 17; i++ {
			waited, n := begun[i].Sub(begun[i-1]), i-1
			if i == 15 {
				waited -= calm
				n = 0
			}
			if i > 15 {
				n = i - 15
			}
			least := min(restartFirst<<n, restartLast)
			if waited < least || waited > least*3/2 {
				t.Errorf("restart %d after %v, want %v to %v", i, waited, least, least*3/2)
			}
		}
	})
}

// The health check names the parts that are down, or have been of late, with their reasons.
func TestCheckSaysWhatFailedAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := newGroup(ctx)
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
		g.Settle()
		synctest.Wait()
		if err := g.Check(ctx); err != nil {
			t.Errorf("trouble without a cause: %v", err)
		}
		close(fail)
		synctest.Wait()
		for range 8 { // in the pauses and just after them
			err := g.Check(ctx)
			if err == nil || !strings.Contains(err.Error(), "dns: port 53 is taken") || strings.Contains(err.Error(), "fine") {
				t.Errorf("Check = %v", err)
			}
			time.Sleep(70 * time.Millisecond)
		}
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
}
