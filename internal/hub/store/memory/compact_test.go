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
		go func() { done <- store.CompactEvery(ctx, s, store.KeepHistory, slog.New(slog.DiscardHandler)) }()
		rev, _ := s.Create(ctx, "/a", nil, 0)
		for i := range 60 { // one write a minute
			time.Sleep(time.Minute)
			rev, _ = s.Update(ctx, "/a", nil, rev, 0)
			if i < 15 {
				continue
			}
			if _, err := s.List(ctx, store.Page{Prefix: "/", Revision: rev - 4}); err != nil {
				t.Fatalf("minute %d: four minutes ago: %v", i, err)
			}
			if _, err := s.List(ctx, store.Page{Prefix: "/", Revision: rev - 12}); !errors.Is(err, store.ErrCompacted) {
				t.Fatalf("minute %d: twelve minutes ago: %v", i, err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
