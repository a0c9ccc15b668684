package storetest

import (
	"context"
	"testing"
	"time"

	"sampan.dev/internal/hub/store"
)

// Subject is an implementation to be tested.
type Subject struct {
	// Open makes an empty store; the suite closes it.
	Open func(t *testing.T) store.Store
	// In runs a test, perhaps in a synctest bubble; nil runs it as it is.
	In func(t *testing.T, f func(t *testing.T))
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	for _, c := range []struct {
		name string
		f    func(*subject)
	}{
		{"create and get", createGet},
		{"update", update},
		{"delete", remove},
		{"a missing key conflicts", missing},
		{"too large", tooLarge},
		{"list pages", listPages},
		{"list at a revision", listAt},
		{"compaction", compaction},
		{"watch delivers in order", watchOrder},
		{"watch resumes from history", watchHistory},
		{"watch keeps to its prefix", watchPrefix},
		{"watch loses and doubles nothing", watchStorm},
		{"watch of lost history", watchCompacted},
		{"an idle watch survives compaction", watchIdle},
		{"watch ends", watchEnds},
		{"progress", progress},
		{"time to live", timeToLive},
		{"concurrent updates", contention},
		{"batch", batch},
		{"scan", scan},
		{"closed", closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := s.In
			if in == nil {
				in = func(t *testing.T, f func(*testing.T)) { f(t) }
			}
			in(t, func(t *testing.T) {
				st := s.Open(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				c.f(&subject{T: t, Store: st, ctx: ctx})
				if err := st.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		})
	}
}

// subject is a store under test, with calls that must succeed.
type subject struct {
	*testing.T
	store.Store
	ctx context.Context
}

func (s *subject) create(key, value string) int64 {
	s.Helper()
	rev, err := s.Create(s.ctx, key, []byte(value), 0)
	if err != nil {
		s.Fatalf("create %s: %v", key, err)
	}
	return rev
}

func (s *subject) update(key, value string, expect int64) int64 {
	s.Helper()
	rev, err := s.Update(s.ctx, key, []byte(value), expect, 0)
	if err != nil {
		s.Fatalf("update %s: %v", key, err)
	}
	return rev
}

func (s *subject) delete(key string, expect int64) int64 {
	s.Helper()
	rev, err := s.Delete(s.ctx, key, expect)
	if err != nil {
		s.Fatalf("delete %s: %v", key, err)
	}
	return rev
}

func (s *subject) list(p store.Page) store.Listing {
	s.Helper()
	l, err := s.List(s.ctx, p)
	if err != nil {
		s.Fatalf("list %+v: %v", p, err)
	}
	return l
}

func (s *subject) revision() int64 {
	s.Helper()
	rev, err := s.Revision(s.ctx, "")
	if err != nil {
		s.Fatalf("revision: %v", err)
	}
	return rev
}
