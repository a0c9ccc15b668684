package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestGroupStopsAllWhenOneFails(t *testing.T) {
	g := NewGroup(t.Context())
	stopped := make(chan struct{})
	g.Go("waiter", func(ctx context.Context) error {
		<-ctx.Done()
		close(stopped)
		return ctx.Err()
	})
	boom := errors.New("boom")
	g.Go("failer", func(context.Context) error { return boom })
	err := g.Wait()
	if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "failer: ") {
		t.Fatalf("Wait = %v", err)
	}
	<-stopped
}

func TestGroupEndsCleanlyWithItsParent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := NewGroup(ctx)
	g.Go("waiter", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	cancel()
	if err := g.Wait(); err != nil {
		t.Fatalf("Wait = %v", err)
	}
}

func TestPartThatEndsByItselfIsAnError(t *testing.T) {
	g := NewGroup(t.Context())
	g.Go("short", func(context.Context) error { return nil })
	if err := g.Wait(); err == nil || !strings.Contains(err.Error(), "short: ended by itself") {
		t.Fatalf("Wait = %v", err)
	}
}
