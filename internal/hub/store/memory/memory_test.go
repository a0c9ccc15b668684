package memory

import (
	"testing"
	"testing/synctest"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Subject{
		Open: func(t *testing.T) store.Store { return New() },
		In:   synctest.Test,
	})
}

func TestConformanceInRealTime(t *testing.T) {
	storetest.Run(t, storetest.Subject{Open: func(t *testing.T) store.Store { return New() }})
}

func TestCompactForgets(t *testing.T) {
	s := New()
	ctx := t.Context()
	rev, _ := s.Create(ctx, "/a", []byte("1"), 0)
	for range 100 {
		rev, _ = s.Update(ctx, "/a", []byte("x"), rev, 0)
	}
	gone, _ := s.Create(ctx, "/b", []byte("1"), 0)
	rev, _ = s.Delete(ctx, "/b", gone)
	if err := s.Compact(ctx, rev); err != nil {
		t.Fatal(err)
	}
	if it, _ := s.mu.tree.Get(&item{key: "/a"}); len(it.versions) != 1 || len(s.mu.log) != 0 || s.mu.tree.Len() != 1 {
		t.Errorf("%d versions, %d events, %d keys are kept", len(it.versions), len(s.mu.log), s.mu.tree.Len())
	}
}
