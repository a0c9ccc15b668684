package cache

import (
	"slices"
	"sync/atomic"
	"time"
)

// How much history a journal keeps: events of the last keepFor, at least keepMin and at most keepMax of them. Upstream's
// watch cache has the same bounds. They say nothing of objects of a megabyte, of which a minute's writes would be all of a
// machine's memory, so objects that take more than keepBytes (or the process's share, see Bounds) as messages go before
// keepMin and keepFor are reached. A segment ends early when its objects take segmentBytes, so that the last one, which always
// stays, is no exception.
const (
	segmentSize  = 64
	segmentBytes = 1 << 20
	keepMin      = 100
	keepMax      = 100 * 1024
	keepBytes    = 64 << 20
	keepFor      = 75 * time.Second
)

// segment is a run of a journal. Its events are written once, before n is raised, by the one writer; readers look only
// below n. A segment that has been dropped from the journal is cut off from its successor, so that a stalled reader holds
// no more than the segment it stands in.
type segment struct {
	events  [segmentSize]Event
	n       atomic.Int32
	next    atomic.Pointer[segment]
	closed  atomic.Bool // no events are added any more, though there would be room
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
	written  int64   // bytes of all events that were ever appended
	floor    int64   // revision up to which events have been dropped
	bounds   *Bounds // nil for a partition, which has the events of the kind's journal
	grown    atomic.Pointer[chan struct{}]
}

func newJournal(floor int64, bounds *Bounds) *journal {
	j := &journal{segments: []*segment{{}}, floor: floor, bounds: bounds}
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
	if n == segmentSize || tail.bytes >= segmentBytes {
		s := &segment{}
		j.segments = append(j.segments, s)
		tail.closed.Store(true)
		tail.next.Store(s)
		tail, n = s, 0
	}
	tail.events[n] = e
	tail.last = now
	size := e.Entry.Size()
	if e.Prev != nil && e.Prev.Revision <= j.floor {
		size += e.Prev.Size() // only this event holds it
	}
	tail.bytes += size
	tail.n.Store(n + 1)
	j.count++
	j.bytes += size
	j.written += int64(size)
}

// most is how many bytes it may hold.
func (j *journal) most() int {
	if j.bounds == nil {
		return keepBytes
	}
	return int(j.bounds.history)
}

// trim drops what need not be kept: what is too old or too much, and for a partition what the kind's journal has dropped,
// whose floor is given.
func (j *journal) trim(now time.Time, floor int64) {
	drop := 0
	for drop < len(j.segments)-1 {
		s := j.segments[drop]
		n := s.n.Load()
		rest := j.count - int(n)
		if j.bytes <= j.most() && s.events[n-1].Revision > floor && (rest < keepMin || (rest < keepMax && now.Sub(s.last) < keepFor)) {
			break
		}
		j.floor = s.events[n-1].Revision
		j.count = rest
		j.bytes -= s.bytes
		s.dropped.Store(true)
		s.next.Store(nil)
		drop++
		if j.bounds != nil {
			j.bounds.forgetAll(s)
		}
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
		closed := p.seg.closed.Load() // before n, which is final then
		n := p.seg.n.Load()
		for ; p.i < n; p.i++ {
			fn(&p.seg.events[p.i])
		}
		if p.seg.dropped.Load() {
			return p, false
		}
		if n < segmentSize && !closed {
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
