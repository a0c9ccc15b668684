package cache

import (
	"testing"
	"time"
)

// fill appends count events whose objects are size bytes long, trimming after each as the feed does.
func fill(j *journal, count, size int) {
	now := time.Unix(0, 0)
	value := make([]byte, size)
	for i := range count {
		j.append(Event{Revision: int64(i + 1), Entry: &Entry{stored: value}}, now)
		j.trim(now, 0)
	}
}

func TestJournalBounds(t *testing.T) {
	for name, c := range map[string]struct{ count, size, least, most int }{
		"few and small":   {90, 1 << 10, 90, 90},
		"many and small":  {5000, 1 << 10, 5000, 5000},
		"many and large":  {1000, 512 << 10, keepBytes/(512<<10) - segmentSize, keepBytes / (512 << 10)},
		"few and huge":    {100, 2 << 20, 1, keepBytes / (2 << 20)},
		"very many, tiny": {keepMax + 1000, 1, keepMax - segmentSize, keepMax + segmentSize},
	} {
		j := newJournal(0, nil)
		fill(j, c.count, c.size)
		seen := 0
		if _, ok := j.after(j.floor).read(func(*Event) { seen++ }); !ok {
			t.Errorf("%s: the journal's own floor has been dropped", name)
		}
		if seen != j.count || seen < c.least || seen > c.most || j.floor != int64(c.count-seen) {
			t.Errorf("%s: %d events (counted %d), want %d to %d; floor %d", name, seen, j.count, c.least, c.most, j.floor)
		}
		if j.bytes != seen*c.size {
			t.Errorf("%s: %d bytes counted of %d", name, j.bytes, seen*c.size)
		}
	}
}

// Snapshots share objects with the journal's events; what it lets go of they must not hold.
func TestLargeObjectsAreNotRetained(t *testing.T) {
	inWorld(t, func(w *world) {
		rev := w.create("a", "n1")
		if _, err := w.c.Snapshot(w.ctx, rev); err != nil {
			t.Fatal(err)
		}
		w.c.mu.Lock()
		defer w.c.mu.Unlock()
		for i := range 200 {
			at := rev + int64(i) + 1
			w.c.mu.log.append(Event{Revision: at, Entry: &Entry{stored: make([]byte, 1<<20)}}, time.Now())
			w.c.retainLocked(at, time.Now())
			w.c.mu.log.trim(time.Now(), 0)
			w.c.forgetLocked(time.Now())
		}
		if n := len(w.c.mu.retained); n > w.c.mu.log.count+2 || n < 2 {
			t.Errorf("%d snapshots beside %d events", n, w.c.mu.log.count)
		}
	})
}
