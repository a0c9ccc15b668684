package relaxed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sampan.dev/internal/hub/store"
)

// Waits between attempts to write to a store that fails, from when on that is a matter of health, and how long a clean stop
// tries.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 5 * time.Second
	sickAfter  = 10 * time.Second
	closeIn    = 10 * time.Second
)

// Healthy says what has kept changes from being written for a while.
func (s *Store) Healthy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.failing.IsZero() || time.Since(s.mu.failing) < sickAfter {
		return nil
	}
	return fmt.Errorf("nothing has been written for %v: %w", time.Since(s.mu.failing).Round(time.Second), s.mu.err)
}

// Close implements store.Store: it writes what is left, and where the next run may go on.
func (s *Store) Close() error {
	_ = s.image.Close()
	s.stop()
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := len(s.mu.waiting.changes) + len(s.mu.resting)
	if s.mu.flying != nil {
		lost += len(s.mu.flying.changes)
	}
	if lost > 0 {
		return fmt.Errorf("close the relaxed store: %d changes are lost: %w", lost, cmp.Or(s.mu.err, store.ErrFull))
	}
	return nil
}

// run writes behind until ctx ends, and then what is left.
func (s *Store) run(ctx context.Context) {
	defer close(s.ended)
	for ctx.Err() == nil {
		s.idle(ctx)
		if ctx.Err() == nil && s.low() {
			s.try(ctx, func() error { return s.setMark(ctx, s.newest()+step) })
		}
		if b := s.take(time.Now(), false); b != nil {
			s.write(ctx, b)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeIn)
	defer cancel()
	s.mu.Lock()
	b := s.mu.flying
	s.mu.Unlock()
	if b != nil && !s.write(last, b) {
		return // what is newer must not be written before it
	}
	if b := s.take(time.Now(), true); b != nil {
		s.write(last, b)
	}
	// Whoever saw the newest revision must not see it again, and this run has no use for those up to the mark.
	s.try(last, func() error { return s.setMark(last, s.newest()) })
}

// idle waits until there is something to do.
func (s *Store) idle(ctx context.Context) {
	for ctx.Err() == nil && !s.low() {
		s.trim(ctx)
		wait := s.due(time.Now())
		if wait <= 0 {
			return
		}
		t := time.NewTimer(wait)
		select {
		case <-s.kick:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// due is how long the next flush can wait. Changes that begin to rest meanwhile wake nobody: they may wait that much longer.
func (s *Store) due(at time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.mu.waiting
	switch {
	case w.urgency == now:
		return 0
	case w.urgency == soon:
		return w.since.Add(FlushEvery).Sub(at)
	case len(s.mu.resting) > 0:
		return s.mu.rested.Add(IdleFlush).Sub(at)
	}
	return IdleFlush
}

// take starts a new batch and returns the old one, with what rests if that has rested for long or all is wanted.
func (s *Store) take(at time.Time, all bool) *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.mu.waiting
	if b.urgency == idle && !all && at.Sub(s.mu.rested) < IdleFlush {
		return nil
	}
	if all || at.Sub(s.mu.rested) >= joinAfter {
		for key, w := range s.mu.resting {
			b.changes[key] = change{Write: w}
		}
		clear(s.mu.resting)
	}
	if len(b.changes) == 0 {
		return nil
	}
	s.mu.waiting, s.mu.flying = newBatch(), b
	return b
}

// write writes a batch, however often that takes. It is false when ctx ended first.
func (s *Store) write(ctx context.Context, b *batch) bool {
	writes := make([]store.Write, 0, len(b.changes))
	for _, c := range b.changes {
		writes = append(writes, c.Write)
	}
	// Deletions come first: a store that has no room for values takes them all the same.
	slices.SortFunc(writes, func(a, b store.Write) int { return cmp.Compare(min(len(a.Value), 1), min(len(b.Value), 1)) })
	apply := func() error {
		err := s.cfg.Back.Apply(ctx, writes)
		if errors.Is(err, store.ErrFull) {
			writes, err = s.squeeze(ctx, b, writes, err)
		}
		return err
	}
	if !s.try(ctx, apply) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.flying = nil
	close(b.done)
	return true
}

// squeeze writes what a store without room takes of a batch, the deletions, and lets rest what can wait for room. It returns
// what can do neither, with full, or nothing and nil.
func (s *Store) squeeze(ctx context.Context, b *batch, writes []store.Write, full error) ([]store.Write, error) {
	gone := 0
	for gone < len(writes) && writes[gone].Value == nil {
		gone++
	}
	if gone > 0 {
		if err := s.cfg.Back.Apply(ctx, writes[:gone]); err != nil {
			return writes, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(writes[gone:], func(w store.Write) bool {
		if b.changes[w.Key].urgency != idle {
			return false
		}
		_, rests := s.mu.resting[w.Key]
		if _, waits := s.mu.waiting.changes[w.Key]; !rests && !waits {
			s.mu.resting[w.Key] = w
		}
		return true
	})
	s.mu.rested = time.Now()
	if len(left) == 0 {
		return nil, nil
	}
	return left, full
}

// try does f until it succeeds or ctx ends, and keeps account of how that goes.
func (s *Store) try(ctx context.Context, f func() error) bool {
	for wait := retryFirst; ; wait = min(2*wait, retryLast) {
		err := f()
		if err == nil {
			s.noteSuccess()
			return true
		}
		s.noteFailure(err, ctx.Err() != nil)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
	}
}

func (s *Store) noteSuccess() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.failing.IsZero() {
		s.log.Info("writing behind again", "after", time.Since(s.mu.failing).Round(time.Millisecond))
	}
	s.mu.failing, s.mu.err = time.Time{}, nil
}

// noteFailure keeps what went wrong. At the end of the run that is no failure yet: what is left is written then.
func (s *Store) noteFailure(err error, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.err = err
	if s.mu.failing.IsZero() && !ended {
		s.mu.failing = time.Now()
		s.log.Warn("cannot write behind, trying again", "error", err)
	}
}

func (s *Store) newest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.rev
}

// low tells that the mark must be raised.
func (s *Store) low() bool { return s.newest() >= s.mark.Load()-3*step/4 }

// setMark persists that no revision above mark has been used.
func (s *Store) setMark(ctx context.Context, mark int64) error {
	err := s.cfg.Back.Apply(store.Vital(ctx), []store.Write{{Key: markKey, Value: strconv.AppendInt(nil, mark, 10)}})
	if err != nil {
		return fmt.Errorf("revision of the relaxed store: %w", err)
	}
	s.mark.Store(mark)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.mu.raised)
	s.mu.raised = make(chan struct{})
	return nil
}

// trim lets go of history before it is too much; else that is up to store.CompactEvery.
func (s *Store) trim(ctx context.Context) {
	if s.image.History() > keepChanges {
		_ = s.image.Compact(ctx, s.newest()-keepChanges/2) // somebody else may have done it meanwhile
	}
}
