package memory

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/hub/store"
)

func TestCompactEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- store.CompactEvery(ctx, s, store.KeepHistory, func(int64) {}, slog.New(slog.DiscardHandler))
		}()
		rev, _ := s.Create(ctx, "/a", nil, 0)
		const each = 30 // writes a minute
		for i := range 60 {
			for range each {
				time.Sleep(time.Minute / each)
				rev, _ = s.Update(ctx, "/a", nil, rev, 0)
			}
			if i < 15 {
				continue
			}
			if _, err := s.List(ctx, store.Page{Prefix: "/", Revision: rev - 4*each}); err != nil {
				t.Fatalf("minute %d: four minutes ago: %v", i, err)
			}
			if _, err := s.List(ctx, store.Page{Prefix: "/", Revision: rev - 12*each}); !errors.Is(err, store.ErrCompacted) {
				t.Fatalf("minute %d: twelve minutes ago: %v", i, err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// counted counts compactions.
type counted struct {
	*Store
	n int
}

func (c *counted) Compact(ctx context.Context, revision int64) error {
	c.n++
	return c.Store.Compact(ctx, revision)
}

func TestCompactEverySparesAnIdleStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &counted{Store: New()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- store.CompactEvery(ctx, s, store.KeepHistory, func(int64) {}, slog.New(slog.DiscardHandler))
		}()
		rev, _ := s.Create(ctx, "/a", nil, 0)
		for range 24 * 20 { // a write every three minutes for a day
			time.Sleep(3 * time.Minute)
			rev, _ = s.Update(ctx, "/a", nil, rev, 0)
		}
		cancel()
		<-done
		if s.n < 20 || s.n > 25 {
			t.Errorf("%d compactions in a day, want one an hour", s.n)
		}
	})
}
