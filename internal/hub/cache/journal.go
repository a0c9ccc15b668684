package cache

import (
	"slices"
	"sync/atomic"
	"time"
)

// How much history a journal keeps: events of the last keepFor, at least keepMin and at most keepMax of them. Upstream's
// watch cache has the same bounds. They say nothing of objects of a megabyte, of which a minute's writes would be all of a
// machine's memory, so objects that take more than keepBytes as messages go before keepMin and keepFor are reached; the
// forms that were made of them may take several times that.
const (
	segmentSize = 64
	keepMin     = 100
	keepMax     = 100 * 1024
	keepBytes   = 64 << 20
	keepFor     = 75 * time.Second
)

// segment is a run of a journal. Its events are written once, before n is raised, by the one writer; readers look only
// below n. A segment that has been dropped from the journal is cut off from its successor, so that a stalled reader holds
// no more than the segment it stands in.
type segment struct {
	events  [segmentSize]Event
	n       atomic.Int32
	next    atomic.Pointer[segment]
	dropped atomic.Bool
	last    time.Time // of the newest event; the writer's
	bytes   int       // of the objects of its events; the writer's
}

// journal is an append-only log of events. One writer (who holds the cache's lock) appends and trims; readers walk it
// without locks.
type journal struct {
	segments []*segment // oldest first, never empty
	count    int
	bytes    int
	floor    int64 // revision up to which events have been dropped
	grown    atomic.Pointer[chan struct{}]
}

func newJournal(floor int64) *journal {
	j := &journal{segments: []*segment{{}}, floor: floor}
	c := make(chan struct{})
	j.grown.Store(&c)
	return j
}

// changed returns a channel that is closed at the next notify.
func (j *journal) changed() <-chan struct{} { return *j.grown.Load() }

// notify wakes the readers that wait.
func (j *journal) notify() {
	c := make(chan struct{})
	close(*j.grown.Swap(&c))
}

// append adds one event; the caller notifies after the last one.
func (j *journal) append(e Event, now time.Time) {
	tail := j.segments[len(j.segments)-1]
	n := tail.n.Load()
	if n == segmentSize {
		s := &segment{}
		j.segments = append(j.segments, s)
		tail.next.Store(s)
		tail, n = s, 0
	}
	tail.events[n] = e
	tail.last = now
	tail.bytes += e.Entry.Size()
	tail.n.Store(n + 1)
	j.count++
	j.bytes += e.Entry.Size()
}

// trim drops what need not be kept.
func (j *journal) trim(now time.Time) {
	drop := 0
	for drop < len(j.segments)-1 {
		s := j.segments[drop]
		rest := j.count - segmentSize
		if j.bytes <= keepBytes && (rest < keepMin || (rest < keepMax && now.Sub(s.last) < keepFor)) {
			break
		}
		j.floor = s.events[segmentSize-1].Revision
		j.count = rest
		j.bytes -= s.bytes
		s.dropped.Store(true)
		s.next.Store(nil)
		drop++
	}
	if drop > 0 {
		j.segments = slices.Delete(j.segments, 0, drop)
	}
}

// fail drops everything: history is lost.
func (j *journal) fail() {
	for _, s := range j.segments {
		s.dropped.Store(true)
		s.next.Store(nil)
	}
	j.notify()
}

// trimmable reports whether time alone will let trim drop something.
func (j *journal) trimmable() bool { return j.count-segmentSize >= keepMin }

// place is a reader's position: the event at events[i] of seg comes next.
type place struct {
	seg *segment
	i   int32
}

// end is the place after the newest event.
func (j *journal) end() place {
	tail := j.segments[len(j.segments)-1]
	return place{tail, tail.n.Load()}
}

// after is the place of the first event above revision, which must not be below floor.
func (j *journal) after(revision int64) place {
	k, _ := slices.BinarySearchFunc(j.segments, revision, func(s *segment, rev int64) int {
		if n := s.n.Load(); n > 0 && s.events[n-1].Revision <= rev {
			return -1
		}
		return 1
	})
	if k == len(j.segments) {
		return j.end()
	}
	s := j.segments[k]
	i := int32(0)
	for n := s.n.Load(); i < n && s.events[i].Revision <= revision; i++ {
	}
	return place{s, i}
}

// read calls fn with every event from p on, and returns the place after them; ok is false when p has been dropped.
func (p place) read(fn func(*Event)) (_ place, ok bool) {
	for {
		n := p.seg.n.Load()
		for ; p.i < n; p.i++ {
			fn(&p.seg.events[p.i])
		}
		if p.seg.dropped.Load() {
			return p, false
		}
		if n < segmentSize {
			return p, true
		}
		next := p.seg.next.Load()
		if next == nil {
			// Either the journal ends here or the segment has just been cut off: dropped is set first.
			return p, !p.seg.dropped.Load()
		}
		p = place{seg: next}
	}
}
