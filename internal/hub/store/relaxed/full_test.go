package relaxed

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/hub/store"
)

// fullBack is a store behind that may have no room for values.
type fullBack struct {
	*back
	full atomic.Bool
}

func (b *fullBack) Writable() error {
	if b.full.Load() {
		return fmt.Errorf("no room: %w", store.ErrFull)
	}
	return nil
}

func (b *fullBack) Apply(ctx context.Context, writes []store.Write) error {
	for _, w := range writes {
		if w.Value != nil && b.full.Load() && !store.IsVital(ctx) {
			return b.Writable()
		}
	}
	return b.back.Apply(ctx, writes)
}

// TestFullBack runs before a store that has no room: what could not be kept is refused, nodes keep their leases, deletions go
// through, a start works, and with room again all is as before.
func TestFullBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fullBack{back: newBack()}
		s := open(t, b)
		must := must[int64](t)
		lease := must(s.Create(t.Context(), leases+"a", []byte("me 1"), 0))
		gone := must(s.Create(t.Context(), leases+"b", []byte("me 1"), 0))
		event := must(s.Create(t.Context(), events+"a", []byte("1"), 3600))
		time.Sleep(2 * FlushEvery)

		lease = must(s.Update(t.Context(), leases+"a", []byte("me 2"), lease, 0)) // rests until there is a flush
		b.full.Store(true)
		if _, err := s.Create(t.Context(), events+"b", []byte("1"), 3600); !errors.Is(err, store.ErrFull) {
			t.Errorf("an event that cannot be kept: %v", err)
		}
		if _, err := s.Update(t.Context(), events+"a", []byte("2"), event, 3600); !errors.Is(err, store.ErrFull) {
			t.Errorf("an event's change: %v", err)
		}
		if _, err := s.Update(t.Context(), leases+"a", []byte("you 2"), lease, 0); !errors.Is(err, store.ErrFull) {
			t.Errorf("a lease that changes hands: %v", err)
		}
		lease = must(s.Update(t.Context(), leases+"a", []byte("me 3"), lease, 0))
		time.Sleep(joinAfter)
		must(s.Delete(t.Context(), leases+"b", gone)) // goes at once, and takes along what rests
		if _, _, err := b.Get(t.Context(), leases+"b"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the deletion is not behind: %v", err)
		}
		must(s.Delete(t.Context(), events+"a", event))
		time.Sleep(2 * FlushEvery)
		if _, _, err := b.Get(t.Context(), events+"a"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the deletion of an event is not behind: %v", err)
		}
		if err := s.Healthy(); err != nil {
			t.Error(err)
		}
		before, err := s.Revision(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err == nil {
			t.Error("a renewal could not be written, and nobody says so")
		}
		s = open(t, b)
		if now, err := s.Revision(t.Context(), ""); err != nil || now <= before {
			t.Errorf("a start without room is at %d after %d: %v", now, before, err)
		}
		kv, _, err := s.Get(t.Context(), leases+"a")
		if err != nil {
			t.Fatal(err)
		}
		must(s.Update(t.Context(), leases+"a", []byte("me 4"), kv.Revision, 0))
		b.full.Store(false)
		must(s.Create(t.Context(), events+"b", []byte("1"), 3600))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if kv, _, err := b.Get(t.Context(), leases+"a"); err != nil || string(kv.Value) != "me 4" {
			t.Errorf("the store behind has %q, %v", kv.Value, err)
		}
	})
}
