package relaxed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/etcd"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/hub/store/storetest"
)

// back is a store behind that counts what is written to it, and that can fail.
type back struct {
	*memory.Store
	mu struct {
		sync.Mutex
		batches, writes int
		failAt          int // the batch from which on all fail; 0: none
	}
}

func newBack() *back { return &back{Store: memory.New()} }

var errDead = errors.New("dead")

func (b *back) Apply(ctx context.Context, writes []store.Write) error {
	b.mu.Lock()
	b.mu.batches++
	dead := b.mu.failAt > 0 && b.mu.batches >= b.mu.failAt
	if !dead {
		b.mu.writes += len(writes)
	}
	b.mu.Unlock()
	if dead {
		return errDead
	}
	return b.Store.Apply(ctx, writes)
}

func (b *back) failFrom(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.failAt = n
}

func (b *back) counts() (batches, writes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.batches, b.mu.writes
}

const (
	leases = "/registry/leases/"
	events = "/registry/events/"
)

// holder is what must last of a test's lease "holder time".
func holder(value []byte) uint64 {
	h := fnv.New64a()
	who, _, _ := bytes.Cut(value, []byte(" "))
	h.Write(who)
	return h.Sum64()
}

func open(t testing.TB, b store.Batcher) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{
		Back: b, Log: slog.New(slog.DiscardHandler),
		Prefixes: []Prefix{{Path: leases, Lasting: holder}, {Path: events, TTLSeconds: 3600}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// crash ends s without any further write.
func crash(s *Store, b *back) {
	b.failFrom(1)
	_ = s.Close()
	b.failFrom(0)
}

// both is a store with the one behind it, which it closes too.
type both struct {
	*Store
	back store.Store
}

func (b both) Close() error {
	err := b.Store.Close()
	_ = b.back.Close()
	return err
}

func whole(t *testing.T, b store.Batcher, p Prefix, durable bool) store.Store {
	p.Path = "/registry/"
	s, err := Open(t.Context(), Config{Back: b, Prefixes: []Prefix{p}, Durable: durable, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return both{s, b}
}

func TestConformance(t *testing.T) {
	for name, durable := range map[string]bool{"relaxed": false, "durable": true} {
		for lasting, p := range map[string]Prefix{"": {}, " with what lasts": {Lasting: holder}} {
			t.Run(name+lasting, func(t *testing.T) {
				storetest.Run(t, storetest.Subject{
					Open: func(t *testing.T) store.Store { return whole(t, memory.New(), p, durable) },
					In:   synctest.Test,
				})
			})
		}
	}
}

func TestConformanceOverEtcd(t *testing.T) {
	storetest.Run(t, storetest.Subject{Open: func(t *testing.T) store.Store {
		e, err := etcd.Embedded(context.Background(), etcd.EmbeddedConfig{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return whole(t, e, Prefix{Lasting: holder}, false)
	}})
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestCleanStopLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), newBack()
		s := open(t, b)
		rev := must[int64](t)(s.Create(ctx, leases+"a", []byte("me 1"), 0))
		must[int64](t)(s.Update(ctx, leases+"a", []byte("me 2"), rev, 0))
		gone := must[int64](t)(s.Create(ctx, events+"gone", []byte("x"), 3600))
		must[int64](t)(s.Create(ctx, events+"e", []byte("x"), 3600))
		last := must[int64](t)(s.Delete(ctx, events+"gone", gone))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, b)
		defer s.Close()
		if kv, _, err := s.Get(ctx, leases+"a"); err != nil || string(kv.Value) != "me 2" || kv.Revision <= last || kv.Revision > last+2 {
			t.Errorf("%+v %v, after revision %d", kv, err, last)
		}
		if l, err := s.List(ctx, store.Page{Prefix: events}); err != nil || len(l.KVs) != 1 || l.KVs[0].Key != events+"e" {
			t.Errorf("%+v %v", l, err)
		}
		// Who watched the last run is told to list again: every key has got a new revision.
		at, _ := s.Revision(ctx, "")
		for after := last; after < at; after++ {
			if err := s.Watch(ctx, leases, after, func([]store.Event) error { return nil }); !errors.Is(err, store.ErrCompacted) {
				t.Errorf("a watch after %d, begun at %d: %v", after, at, err)
			}
		}
		seen := map[int64]bool{}
		l, _ := s.List(ctx, store.Page{Prefix: "/registry/"})
		for _, kv := range l.KVs {
			if seen[kv.Revision] || kv.Revision <= last {
				t.Errorf("%s is at %d, as another is, or not above %d", kv.Key, kv.Revision, last)
			}
			seen[kv.Revision] = true
		}
	})
}

func TestCrashJumpsPastAcknowledgedRevisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), newBack()
		var last int64
		for range 5 {
			s := open(t, b)
			kv, rev, err := s.Get(ctx, events+"e")
			switch {
			case rev <= last:
				t.Fatalf("begins at %d, acknowledged %d before", rev, last)
			case errors.Is(err, store.ErrNotFound):
				last = must[int64](t)(s.Create(ctx, events+"e", []byte("x"), 3600))
				time.Sleep(2 * FlushEvery)
			default:
				last = must[int64](t)(s.Update(ctx, events+"e", []byte("y"), kv.Revision, 3600))
			}
			for i := range 100 {
				last = must[int64](t)(s.Create(ctx, fmt.Sprintf("%s%d-%d", events, last, i), []byte("x"), 3600))
			}
			crash(s, b)
		}
	})
}

// TestUpgradeInPlace begins on a store that has had leases and events of its own.
func TestUpgradeInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), newBack()
		must[int64](t)(b.Create(ctx, leases+"a", []byte("me 1"), 0))
		last := must[int64](t)(b.Create(ctx, "/registry/pods/p", []byte("x"), 0))
		if used, err := Used(ctx, b); used || err != nil {
			t.Errorf("used before it was: %v %v", used, err)
		}
		s := open(t, b)
		defer s.Close()
		if kv, rev, err := s.Get(ctx, leases+"a"); err != nil || rev <= last || kv.Revision <= last {
			t.Errorf("%+v at %d, %v; behind is at %d", kv, rev, err, last)
		}
		if err := s.Watch(ctx, leases, last, func([]store.Event) error { return nil }); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("a watch of before: %v", err)
		}
		if used, err := Used(ctx, b); !used || err != nil {
			t.Errorf("used: %v %v", used, err)
		}
	})
}

// TestCrashAnywhere lets the process die at each of its writes in turn: no revision is seen twice, what lasts is there, and of
// the rest nothing is there that never was.
func TestCrashAnywhere(t *testing.T) {
	for at := 1; ; at++ {
		var done bool
		synctest.Test(t, func(t *testing.T) { done = crashAt(t, at) })
		if done {
			if at < 20 {
				t.Errorf("only %d writes", at)
			}
			return
		}
	}
}

func crashAt(t *testing.T, at int) (done bool) {
	ctx, b := t.Context(), newBack()
	must[int64](t)(b.Create(ctx, leases+"old", []byte("other 1"), 0))
	b.failFrom(at)
	s, err := Open(ctx, Config{Back: b, Log: slog.New(slog.DiscardHandler), Prefixes: []Prefix{{Path: leases, Lasting: holder}, {Path: events, TTLSeconds: 3600}}})
	if err != nil {
		return false // dead before anything was acknowledged
	}
	r := rand.New(rand.NewPCG(1, 2))
	var seen int64                       // newest revision that anybody has seen
	lasting := map[string]string{}       // holder of each lease, as acknowledged
	ever := map[string]map[string]bool{} // all that a key has held; "" when it was not there
	note := func(key, value string) {
		if ever[key] == nil {
			ever[key] = map[string]bool{"": true}
		}
		ever[key][value] = true
	}
	note(leases+"old", "other 1")
	short := func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, time.Second) }
	for i := range 40 {
		key := fmt.Sprintf("%s%d", events, r.IntN(3))
		who := ""
		if i%2 == 0 {
			key, who = fmt.Sprintf("%s%d", leases, r.IntN(2)), fmt.Sprint("w", r.IntN(2))
		}
		value := fmt.Sprintf("%s %d", who, i)
		wctx, cancel := short()
		kv, _, err := s.Get(ctx, key)
		note(key, value)
		var rev int64
		switch {
		case errors.Is(err, store.ErrNotFound):
			rev, err = s.Create(wctx, key, []byte(value), 0)
		case r.IntN(5) == 0:
			rev, err = s.Delete(wctx, key, kv.Revision)
			who = ""
		default:
			rev, err = s.Update(wctx, key, []byte(value), kv.Revision, 0)
		}
		cancel()
		now, _ := s.Revision(ctx, "")
		seen = max(seen, now)
		if err != nil { // the process is about to die, and this write may have been made or not
			delete(lasting, key)
			break
		}
		if rev > now {
			t.Fatalf("written at %d, at %d", rev, now)
		}
		if key < leases {
			time.Sleep(time.Duration(r.IntN(3)) * FlushEvery)
			continue
		}
		lasting[key] = who
	}
	n, _ := b.counts()
	crash(s, b)
	s = open(t, b)
	defer s.Close()
	if _, rev, _ := s.Get(ctx, "/"); rev <= seen {
		t.Errorf("death at write %d: begins at %d, %d was seen", at, rev, seen)
	}
	l, err := s.List(ctx, store.Page{Prefix: "/registry/"})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, kv := range l.KVs {
		if !ever[kv.Key][string(kv.Value)] {
			t.Errorf("death at write %d: %s holds %q", at, kv.Key, kv.Value)
		}
		have[kv.Key] = string(kv.Value)
	}
	for key, who := range lasting {
		got, _, _ := bytes.Cut([]byte(have[key]), []byte(" "))
		if string(got) != who {
			t.Errorf("death at write %d: %s is held by %q, want %q", at, key, got, who)
		}
	}
	return n < at
}

// TestWhatLastsIsWritten has each lease's holder in the store behind when the write returns, and its renewals not.
func TestWhatLastsIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), newBack()
		s := open(t, b)
		defer s.Close()
		behind := func() string {
			kv, _, err := b.Get(ctx, leases+"a")
			if err != nil {
				return ""
			}
			return string(kv.Value)
		}
		rev := must[int64](t)(s.Create(ctx, leases+"a", []byte("me 1"), 0))
		if behind() != "me 1" {
			t.Errorf("created, and behind is %q", behind())
		}
		rev = must[int64](t)(s.Update(ctx, leases+"a", []byte("me 2"), rev, 0))
		time.Sleep(time.Minute)
		if behind() != "me 1" {
			t.Errorf("renewed, and behind is %q", behind())
		}
		rev = must[int64](t)(s.Update(ctx, leases+"a", []byte("you 3"), rev, 0))
		if behind() != "you 3" {
			t.Errorf("handed over, and behind is %q", behind())
		}
		rev = must[int64](t)(s.Update(ctx, leases+"a", []byte("you 4"), rev, 0))
		time.Sleep(IdleFlush + time.Second)
		if behind() != "you 4" {
			t.Errorf("after long, behind is %q", behind())
		}
		must[int64](t)(s.Delete(ctx, leases+"a", rev))
		if behind() != "" {
			t.Errorf("deleted, and behind is %q", behind())
		}
	})
}

// TestWritesAreFew counts what an hour of a node's renewals and a burst of events write.
func TestWritesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), newBack()
		s := open(t, b)
		defer s.Close()
		rev := must[int64](t)(s.Create(ctx, leases+"n", []byte("node 0"), 0))
		before, _ := b.counts()
		for i := range 360 {
			time.Sleep(10 * time.Second)
			rev = must[int64](t)(s.Update(ctx, leases+"n", fmt.Appendf(nil, "node %d", i), rev, 0))
		}
		if n, _ := b.counts(); n-before > 4 {
			t.Errorf("%d writes for an hour of renewals", n-before)
		}
		before, _ = b.counts()
		for i := range 1000 {
			must[int64](t)(s.Create(ctx, fmt.Sprintf("%s%d", events, i), []byte("x"), 3600))
		}
		time.Sleep(2 * FlushEvery)
		if n, _ := b.counts(); n-before != 1 {
			t.Errorf("%d writes for a burst of events", n-before)
		}
		if l, err := b.List(ctx, store.Page{Prefix: events}); err != nil || l.Count != 1000 {
			t.Errorf("%d events behind, %v", l.Count, err)
		}
		// They go in the store behind as well, which counts their time itself.
		before, _ = b.counts()
		time.Sleep(time.Hour + time.Minute)
		if l, err := b.List(ctx, store.Page{Prefix: events}); err != nil || l.Count != 0 {
			t.Errorf("%d events are left behind, %v", l.Count, err)
		}
		if l, err := s.List(ctx, store.Page{Prefix: events}); err != nil || l.Count != 0 {
			t.Errorf("%d events are left, %v", l.Count, err)
		}
	})
}

// TestExpiryAfterStart finds events of the run before and lets them go in time.
func TestExpiryAfterStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), newBack()
		must[int64](t)(b.Create(ctx, events+"e", []byte("x"), 0))
		s := open(t, b)
		time.Sleep(3599 * time.Second)
		if _, _, err := s.Get(ctx, events+"e"); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if _, _, err := s.Get(ctx, events+"e"); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, _, err := b.Get(ctx, events+"e"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("behind: %v", err)
		}
	})
}

func TestFailingIsShownAndMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), newBack()
		s := open(t, b)
		b.failFrom(1)
		must[int64](t)(s.Create(ctx, events+"a", []byte("1"), 3600))
		wctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		if _, err := s.Create(wctx, leases+"a", []byte("me 1"), 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a write that must last: %v", err)
		}
		cancel()
		if err := s.Healthy(); err != nil {
			t.Errorf("soon: %v", err)
		}
		time.Sleep(sickAfter)
		if err := s.Healthy(); !errors.Is(err, errDead) {
			t.Errorf("after long: %v", err)
		}
		must[int64](t)(s.Create(ctx, events+"b", []byte("1"), 3600))
		b.failFrom(0)
		time.Sleep(2 * retryLast)
		if err := s.Healthy(); err != nil {
			t.Errorf("mended: %v", err)
		}
		if l, _ := b.List(ctx, store.Page{Prefix: "/registry/"}); l.Count != 3 {
			t.Errorf("%d keys behind", l.Count)
		}
		b.failFrom(1)
		must[int64](t)(s.Create(ctx, events+"c", []byte("1"), 3600))
		if err := s.Close(); !errors.Is(err, errDead) {
			t.Errorf("close: %v", err)
		}
	})
}

// TestMark lets the revisions that may be used run out.
func TestMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), newBack()
		s := open(t, b)
		defer s.Close()
		must[int64](t)(s.Create(ctx, events+"a", []byte("1"), 3600))
		time.Sleep(2 * FlushEvery)
		b.failFrom(1)
		s.mark.Store(s.newest() + step/2) // the next write is the last
		wctx, cancel := context.WithTimeout(ctx, time.Minute)
		if _, err := s.Create(wctx, events+"b", []byte("1"), 3600); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a revision left: %v", err)
		}
		cancel()
		go func() {
			time.Sleep(time.Minute)
			b.failFrom(0)
		}()
		s.poke()
		rev := must[int64](t)(s.Create(ctx, events+"b", []byte("1"), 3600))
		if mark, err := readMark(ctx, b); err != nil || mark < rev {
			t.Errorf("written at %d, the mark is %d, %v", rev, mark, err)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), newBack()
		s := open(t, b)
		defer s.Close()
		rev := must[int64](t)(s.Create(ctx, leases+"a", []byte("me"), 0))
		for range 3 * keepChanges {
			rev = must[int64](t)(s.Update(ctx, leases+"a", []byte("me"), rev, 0))
		}
		synctest.Wait()
		if n := s.image.History(); n > keepChanges+keepChanges/2 {
			t.Errorf("%d changes are remembered", n)
		}
	})
}

func BenchmarkRenew(b *testing.B) {
	s := open(b, memory.New())
	defer s.Close()
	rev, _ := s.Create(b.Context(), leases+"a", []byte("me"), 0)
	for b.Loop() {
		rev, _ = s.Update(b.Context(), leases+"a", []byte("me 1"), rev, 0)
	}
}
