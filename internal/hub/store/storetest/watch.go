package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sampan.dev/internal/hub/store"
)

// follower is a running watch whose events are taken one by one. Progress events are kept apart.
type follower struct {
	s        *subject
	events   chan store.Event
	progress chan int64
	err      chan error
	cancel   context.CancelFunc
}

func (s *subject) follow(prefix string, after int64) *follower {
	ctx, cancel := context.WithCancel(s.ctx)
	f := &follower{s: s, events: make(chan store.Event, 10000), progress: make(chan int64, 1000), err: make(chan error, 1), cancel: cancel}
	go func() {
		f.err <- s.Watch(ctx, prefix, after, func(events []store.Event) error {
			for _, e := range events {
				if e.Progress {
					f.progress <- e.Revision
				} else {
					f.events <- e
				}
			}
			return nil
		})
	}()
	return f
}

func (f *follower) next() store.Event {
	f.s.Helper()
	select {
	case e := <-f.events:
		return e
	case err := <-f.err:
		f.s.Fatalf("watch ended: %v", err)
	case <-f.s.ctx.Done():
		f.s.Fatal("no event came")
	}
	panic("unreachable")
}

// want takes events and compares them with "+key", "~key" and "-key".
func (f *follower) want(want ...string) (last int64) {
	f.s.Helper()
	for _, w := range want {
		e := f.next()
		c := "~"
		switch {
		case e.Deleted:
			c = "-"
		case e.Created:
			c = "+"
		}
		if c+e.Key != w {
			f.s.Fatalf("event %s%s, want %s", c, e.Key, w)
		}
		if e.Revision <= last || e.Deleted != (e.Value == nil) || (e.Created && e.CreateRevision != e.Revision) {
			f.s.Errorf("event %+v after revision %d", e, last)
		}
		last = e.Revision
	}
	return last
}

// stop ends the watch, which must have no more to say.
func (f *follower) stop() {
	f.s.Helper()
	f.cancel()
	if err := <-f.err; err != nil {
		f.s.Errorf("watch that was cancelled: %v", err)
	}
	select {
	case e := <-f.events:
		f.s.Errorf("one event too many: %+v", e)
	default:
	}
}

func watchOrder(s *subject) {
	f := s.follow("/registry/things/", s.revision())
	r1 := s.create(a, "1")
	r2 := s.create(b, "1")
	s.update(a, "2", r1)
	r4 := s.delete(b, r2)
	if last := f.want("+"+a, "+"+b, "~"+a, "-"+b); last != r4 {
		s.Errorf("deleted at %d, want %d", last, r4)
	}
	f.stop()
}

func watchHistory(s *subject) {
	r1 := s.create(a, "1")
	r2 := s.update(a, "2", r1)
	s.delete(a, r2)
	f := s.follow("/registry/things/", r1)
	f.want("~"+a, "-"+a)
	s.create(a, "3")
	f.want("+" + a)
	f.stop()
	f = s.follow("/registry/things/", 0)
	f.want("+"+a, "~"+a, "-"+a, "+"+a)
	f.stop()
}

func watchPrefix(s *subject) {
	f := s.follow("/registry/things/", s.revision())
	s.create("/registry/thingsandmore/x", "x")
	s.create("/registry/other/x", "x")
	s.create(a, "x")
	f.want("+" + a)
	f.stop()
}

// watchStorm has writers and watchers that start at any time, and compares what each watcher saw with the whole.
func watchStorm(s *subject) {
	const writers, each = 4, 100
	start := s.revision()
	var wg sync.WaitGroup
	var mu sync.Mutex
	wrote := map[int64]string{}
	for w := range writers {
		wg.Go(func() {
			key := fmt.Sprintf("/registry/things/d/%d", w)
			rev, err := s.Create(s.ctx, key, []byte("x"), 0)
			for n := 0; err == nil && n < each; n++ {
				mu.Lock()
				wrote[rev] = key
				mu.Unlock()
				rev, err = s.Update(s.ctx, key, []byte("x"), rev, 0)
			}
			if err != nil {
				s.Error(err)
				return
			}
			mu.Lock()
			wrote[rev] = key
			mu.Unlock()
		})
	}
	var followers []*follower
	var from []int64
	for range 4 {
		from = append(from, s.revision())
		followers = append(followers, s.follow("/registry/things/", from[len(from)-1]))
		time.Sleep(5 * time.Millisecond)
	}
	wg.Wait()
	end := s.revision()
	followers, from = append(followers, s.follow("/registry/things/", start)), append(from, start)
	for i, f := range followers {
		for rev := from[i] + 1; rev <= end; rev++ {
			if e := f.next(); e.Revision != rev || e.Key != wrote[rev] {
				s.Fatalf("watch after %d: event %s@%d, want %s@%d", from[i], e.Key, e.Revision, wrote[rev], rev)
			}
		}
		f.stop()
	}
}

func watchCompacted(s *subject) {
	r := s.create(a, "1")
	first := r
	for range 5 {
		r = s.update(a, "x", r)
	}
	if err := s.Compact(s.ctx, r); err != nil {
		s.Fatal(err)
	}
	err := s.Watch(s.ctx, "/registry/things/", first, func([]store.Event) error { return nil })
	if !errors.Is(err, store.ErrCompacted) {
		s.Errorf("watch of lost history: %v", err)
	}
	f := s.follow("/registry/things/", r)
	s.update(a, "y", r)
	f.want("~" + a)
	f.stop()
}

func watchIdle(s *subject) {
	s.create(a, "1")
	f := s.follow("/registry/things/", s.revision())
	s.create("/registry/other/x", "0")
	rev := s.create("/registry/other/y", "0")
	// Until the watch has answered, it may not have begun, and then its history is lost like any other's.
	s.reach(f, "/registry/things/", rev)
	for range 10 {
		rev = s.update("/registry/other/y", "1", rev)
	}
	if err := s.Compact(s.ctx, rev); err != nil {
		s.Fatal(err)
	}
	s.create(b, "1")
	f.want("+" + b)
	f.stop()
}

// reach asks for progress until the watch says that it has reached rev.
func (s *subject) reach(f *follower, prefix string, rev int64) {
	s.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.RequestProgress(s.ctx, prefix); err != nil {
			s.Fatal(err)
		}
		select {
		case got := <-f.progress:
			if got >= rev {
				return
			}
		case <-tick.C:
		case <-s.ctx.Done():
			s.Fatal("no progress came")
		}
	}
}

func watchEnds(s *subject) {
	s.create(a, "1")
	stop := errors.New("enough")
	if err := s.Watch(s.ctx, "/registry/", 0, func([]store.Event) error { return stop }); err != stop {
		s.Errorf("watch whose function fails: %v", err)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	if err := s.Watch(ctx, "/registry/", 0, func([]store.Event) error { cancel(); return nil }); err != nil {
		s.Errorf("watch that is cancelled: %v", err)
	}
}

func progress(s *subject) {
	s.create(a, "1")
	f := s.follow("/registry/things/", 0)
	g := s.follow("/registry/other/", 0)
	f.want("+" + a)
	rev := s.create("/registry/else/x", "1")
	s.reach(f, "/registry/things/", rev)
	s.reach(g, "/registry/other/", rev)
	// Progress never runs ahead of events: whatever it says, all up to there has come before.
	for i := range 50 {
		r := s.create(fmt.Sprintf("/registry/things/d/n%02d", i), "1")
		s.reach(f, "/registry/things/", r)
		select {
		case e := <-f.events:
			if e.Revision != r {
				s.Fatalf("event at %d, want %d", e.Revision, r)
			}
		default:
			s.Fatalf("progress to %d before the event", r)
		}
	}
	f.stop()
	g.stop()
}

func closed(s *subject) {
	s.create(a, "1")
	ended := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		ended <- s.Watch(s.ctx, "/registry/", 0, func([]store.Event) error { close(begun); return nil })
	}()
	<-begun
	if err := s.Close(); err != nil {
		s.Errorf("close: %v", err)
	}
	if err := <-ended; !errors.Is(err, store.ErrUnready) {
		s.Errorf("watch of a closed store: %v", err)
	}
	if _, err := s.Create(s.ctx, b, []byte("1"), 0); !errors.Is(err, store.ErrUnready) {
		s.Errorf("write to a closed store: %v", err)
	}
}
