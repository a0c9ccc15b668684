package memory

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"sampan.dev/internal/hub/store"
)

// batch bounds what a watch hands over at once.
const batch = 1000

// watcher is one running Watch: its place in the log is a revision. Guarded by Store.mu, but for wake.
type watcher struct {
	prefix   string
	after    int64
	progress bool
	wake     chan struct{} // of one slot: something may have happened
}

func (w *watcher) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after int64, fn func([]store.Event) error) error {
	w := &watcher{prefix: prefix, after: after, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	if after < s.mu.compacted {
		s.mu.Unlock()
		return fmt.Errorf("watch %s after %d: %w", prefix, after, store.ErrCompacted)
	}
	s.mu.watchers[w] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.mu.watchers, w)
	}()
	w.poke()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		for more := true; more; {
			var events []store.Event
			var err error
			if events, more, err = s.take(w); err != nil {
				return err
			}
			if len(events) > 0 {
				if err := fn(events); err != nil {
					return err
				}
			}
			if ctx.Err() != nil {
				return nil
			}
		}
	}
}

// take returns the next batch of w and whether to ask again without waiting.
func (s *Store) take(w *watcher) (events []store.Event, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return nil, false, store.ErrUnready
	}
	if w.after < s.mu.compacted {
		return nil, false, fmt.Errorf("watch %s after %d: %w", w.prefix, w.after, store.ErrCompacted)
	}
	i := s.afterLocked(w.after)
	for ; i < len(s.mu.log) && len(events) < batch; i++ {
		if strings.HasPrefix(s.mu.log[i].Key, w.prefix) {
			events = append(events, s.mu.log[i])
		}
		w.after = max(w.after, s.mu.log[i].Revision)
	}
	if len(events) > 0 {
		return events, true, nil
	}
	if w.progress {
		w.progress = false
		return []store.Event{{KV: store.KV{Revision: s.mu.rev}, Progress: true}}, false, nil
	}
	return nil, false, nil
}

// afterLocked returns the index of the first change with a revision above after.
func (s *Store) afterLocked(after int64) int {
	i, _ := slices.BinarySearchFunc(s.mu.log, after, func(e store.Event, rev int64) int {
		if e.Revision <= rev {
			return -1
		}
		return 1
	})
	return i
}

// firstLocked returns the revision of the first change under prefix above after, or the largest number.
func (s *Store) firstLocked(prefix string, after int64) int64 {
	for _, e := range s.mu.log[s.afterLocked(after):] {
		if strings.HasPrefix(e.Key, prefix) {
			return e.Revision
		}
	}
	return math.MaxInt64
}
