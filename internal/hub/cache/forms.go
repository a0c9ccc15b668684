package cache

import (
	"math"
	"sync"
)

// Bounds keeps what has been made of entries, and the history of kinds, within so many bytes. One is shared by all caches of
// a process; the zero value bounds nothing but history.
//
// An entry's message is there as long as the entry. Its forms (decoded, JSON, a message made of another encoding, compressed
// runs) can be made again, and those that nobody has asked for since they were last looked at go when there are too many, the
// oldest first. Whoever holds one keeps it.
type Bounds struct {
	history int64 // bytes of the messages that a kind's journal may hold
	live    int64 // bytes of the forms of entries that are the newest version of their object
	past    int64 // bytes of the forms of all others

	mu struct {
		sync.Mutex
		live, past line
	}
}

// What all that is at most. Of history little is ever read again, and at once: nearly every watcher has had an event before
// the next one comes.
const (
	mostHistory = keepBytes
	mostPast    = 32 << 20
)

// NewBounds makes the bounds for a process that may use so many bytes of memory; 0 is not known.
func NewBounds(memory int64) *Bounds {
	b := &Bounds{history: mostHistory, past: mostPast, live: math.MaxInt64}
	if memory > 0 {
		b.history = min(mostHistory, memory/64)
		b.past = min(mostPast, memory/64)
		b.live = memory / 24
	}
	return b
}

// line is the entries that have forms, those that had their first form made first in front.
type line struct {
	front, back *Entry
	bytes       int64
}

// member is what an entry has for its place in a line.
type member struct {
	before, after *Entry
	bytes         int64 // of its forms
	listed        bool
	live          bool
}

// add accounts for a form of e that has been made, of n bytes.
func (b *Bounds) add(e *Entry, n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l, limit := b.lineLocked(e)
	e.line.bytes += int64(n)
	l.bytes += int64(n)
	l.insert(e)
	l.trim(limit, e)
}

func (b *Bounds) lineLocked(e *Entry) (*line, int64) {
	if e.line.live {
		return &b.mu.live, b.live
	}
	return &b.mu.past, b.past
}

// succeed notes that e, which may be nil, has become the newest version of its object instead of prev, which may be nil.
func (b *Bounds) succeed(e, prev *Entry) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.moveLocked(prev, false)
	b.moveLocked(e, true)
}

func (b *Bounds) moveLocked(e *Entry, live bool) {
	if e == nil || e.line.live == live {
		return
	}
	from, _ := b.lineLocked(e)
	e.line.live = live
	if !e.line.listed {
		return
	}
	from.remove(e)
	to, limit := b.lineLocked(e)
	to.bytes += e.line.bytes
	to.insert(e)
	to.trim(limit, nil)
}

// forget lets go of what was made of an entry that history has let go of.
func (b *Bounds) forget(e *Entry) {
	if b == nil || e == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if l, _ := b.lineLocked(e); e.line.listed && !e.line.live {
		l.remove(e)
		e.drop()
	}
}

func (l *line) insert(e *Entry) {
	if e.line.listed {
		return
	}
	e.line.listed, e.line.before = true, l.back
	if l.back != nil {
		l.back.line.after = e
	} else {
		l.front = e
	}
	l.back = e
}

func (l *line) remove(e *Entry) {
	if e.line.before != nil {
		e.line.before.line.after = e.line.after
	} else {
		l.front = e.line.after
	}
	if e.line.after != nil {
		e.line.after.line.before = e.line.before
	} else {
		l.back = e.line.before
	}
	e.line.before, e.line.after, e.line.listed = nil, nil, false
	l.bytes -= e.line.bytes
}

// trim takes forms away, the oldest first, until the line is within its limit. That of but, which is in use, stays.
func (l *line) trim(limit int64, but *Entry) {
	spared := 0
	for l.bytes > limit && l.front != nil && l.front != but {
		e := l.front
		l.remove(e)
		if spared < mostSpared && e.used.Swap(false) {
			spared++
			l.bytes += e.line.bytes
			l.insert(e)
			continue
		}
		e.drop()
	}
}

// mostSpared bounds how many entries one look spares because somebody has asked for their forms.
const mostSpared = 64

// drop takes the forms off an entry; they are made again when somebody asks.
func (e *Entry) drop() {
	e.line.bytes = 0
	e.obj.Store(nil)
	e.json.Store(nil)
	e.made.Store(nil)
	e.views.Store(nil)
	for i := range e.runs {
		e.runs[i].Store(nil)
	}
}
