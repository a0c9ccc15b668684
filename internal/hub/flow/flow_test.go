package flow

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	var g Gate
	g.Reads.Limit = 2
	var leave []func()
	for i, row := range []struct {
		rank Rank
		user string
		ok   bool
	}{
		{Ordinary, "a", true}, {Vital, "n", true}, {Ordinary, "a", false}, {Exempt, "root", true}, {Ordinary, "b", false}, {Vital, "n", true},
	} {
		l, ok := g.Enter(&g.Reads, row.rank, row.user)
		if ok != row.ok {
			t.Fatalf("%d: %v", i, ok)
		}
		if ok {
			leave = append(leave, l)
		}
	}
	if l, ok := g.Enter(&g.Writes, Ordinary, "a"); !ok {
		t.Error("writes without a limit are refused")
	} else {
		l()
	}
	if n := g.Reads.Under(); n != 4 {
		t.Errorf("%d under way", n)
	}
	for _, l := range leave {
		l()
	}
	if n := g.Reads.Under(); n != 0 || g.mu.vital != 0 || len(g.mu.by) != 0 {
		t.Errorf("%d under way, %d vital by %v when all have left", n, g.mu.vital, g.mu.by)
	}
}

// A node that was stolen cannot take the room of the others.
func TestVitalShares(t *testing.T) {
	var g Gate
	g.Writes.Limit = 1
	g.Enter(&g.Writes, Ordinary, "a")
	count := func(user string) (n int) {
		for range 1000 {
			if _, ok := g.Enter(&g.Writes, Vital, user); ok {
				n++
			}
		}
		return n
	}
	if n := count("stolen"); n != vitalShare {
		t.Errorf("one user has %d", n)
	}
	total := vitalShare
	for i := range 100 {
		total += count(fmt.Sprint(i))
	}
	if total != vitalRoom {
		t.Errorf("all together have %d", total)
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := int64(100)
		b := NewBudget(func() int64 { return limit })
		ctx := t.Context()
		if err := b.Take(ctx, 60); err != nil {
			t.Fatal(err)
		}
		served := make(chan int64, 10)
		take := func(ctx context.Context, n int64) {
			go func() {
				if err := b.Take(ctx, n); err != nil {
					n = -n
				}
				served <- n
			}()
			synctest.Wait()
		}
		gone, leave := context.WithCancel(ctx)
		take(gone, 50) // must wait
		take(ctx, 30)  // would fit, but came later
		if b.TryTake(1) == nil {
			t.Error("the line was jumped")
		}
		leave()
		synctest.Wait()
		if a, b := <-served, <-served; min(a, b) != -50 || max(a, b) != 30 {
			t.Errorf("served %d, %d", a, b)
		}
		take(ctx, 90)
		b.Give(60)
		b.Give(30)
		if n := <-served; n != 90 {
			t.Errorf("served %d", n)
		}
		take(ctx, 11)
		time.Sleep(Patience)
		if n := <-served; n != -11 {
			t.Errorf("served %d", n)
		}
		if err := b.TryTake(11); !errors.Is(err, ErrTooMany) {
			t.Error(err)
		}
		b.Give(90)
		if err := b.Take(ctx, 101); !errors.Is(err, ErrTooMany) {
			t.Error(err) // at once: nothing would come of waiting
		}
		limit = 0 // the memory is full
		if b.TryTake(1) == nil {
			t.Error("served from nothing")
		}
		if b.Held() != 0 {
			t.Errorf("%d held in the end", b.Held())
		}
	})
}

func TestMemory(t *testing.T) {
	var used int64
	m := newMemory(400<<20, func() int64 { return used })
	for _, row := range []struct {
		used            int64
		bodies, answers bool // one of a megabyte
	}{
		{60 << 20, true, true}, {200 << 20, true, true}, {245 << 20, false, true}, {390 << 20, false, false},
	} {
		used = row.used
		body, answer := m.Bodies.TryTake(1<<20) == nil, m.Answers.TryTake(1<<20) == nil
		if body != row.bodies || answer != row.answers {
			t.Errorf("%d in use: bodies %v, answers %v", row.used, body, answer)
		}
		if body {
			m.Bodies.Give(1 << 20)
		}
		if answer {
			m.Answers.Give(1 << 20)
		}
	}
	if m := newMemory(0, live); m.Bodies.TryTake(1<<40) != nil {
		t.Error("no limit is known, and there is one")
	}
}

// A server that refuses everything finds out when there is room again, though nothing brings about a collection.
func TestRoomIsFoundAgain(t *testing.T) {
	waste := make([]byte, 64<<20)
	runtime.GC()
	before := live()
	if before < 64<<20 {
		t.Fatalf("%d bytes in use", before)
	}
	runtime.KeepAlive(waste)
	waste = nil
	m := NewMemory((before - 32<<20) * 100 / bodiesUpTo)
	if m.Bodies.Take(t.Context(), 1<<20) == nil {
		t.Fatal("there was room")
	}
	if err := m.Bodies.Take(t.Context(), 1<<20); err != nil {
		t.Error(err)
	}
}
