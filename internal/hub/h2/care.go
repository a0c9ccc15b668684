package h2

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/net/http2"
)

var errStuck = errors.New("h2: the client does not read")

// lookAfter runs now and then until the connection has failed: it asks a client that has been silent whether it is still
// there, lets go of one that is not, that takes nothing or that has had nothing to ask for a long time, and ends streams
// whose time is over.
func (c *conn) lookAfter() {
	now := time.Now()
	silent := now.Sub(time.Unix(0, c.heard.Load()))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return
	}
	next := c.srv.silent()
	switch {
	case !c.mu.pinged.IsZero() && silent >= c.srv.unheard():
		c.failLocked(fmt.Errorf("no answer for %v", silent))
		return
	case c.stuckLocked(now):
		c.failLocked(errStuck)
		return
	case len(c.mu.streams) == 0 && now.Sub(c.mu.idle) >= c.srv.idle():
		go c.leave()
		return
	case silent >= c.srv.silent():
		c.mu.pinged = now
		c.frameLocked(http2.FramePing, 0, 0, 8)
		c.mu.out = append(c.mu.out, make([]byte, 8)...)
		c.nudgeLocked()
		next = c.srv.unheard()
	default:
		c.mu.pinged = time.Time{}
		next -= silent
	}
	if due := c.dueLocked(now); !due.IsZero() {
		next = min(next, due.Sub(now))
	}
	if len(c.mu.streams) == 0 {
		next = min(next, c.srv.idle()-now.Sub(c.mu.idle))
	}
	c.mu.wakes = now.Add(next)
	if c.mu.timer == nil {
		c.mu.timer = time.AfterFunc(next, c.lookAfter)
	} else {
		c.mu.timer.Reset(next)
	}
}

// wakeLocked has lookAfter run at a time, if it would not before. The one timer of a connection is moved only by streams
// that wait, so that those nobody is slow at cost nothing.
func (c *conn) wakeLocked(at time.Time) {
	if at.IsZero() || c.mu.timer == nil || c.mu.err != nil || !at.Before(c.mu.wakes) {
		return
	}
	c.mu.wakes = at
	c.mu.timer.Reset(time.Until(at))
}

// stuckLocked finds a connection on which a write has made no progress since lookAfter found it that way a while ago.
func (c *conn) stuckLocked(now time.Time) bool {
	sent := c.sent.Load()
	if !c.mu.flushing || sent != c.mu.stuckAt || c.mu.stuck.IsZero() {
		c.mu.stuckAt, c.mu.stuck = sent, now
		return false
	}
	return now.Sub(c.mu.stuck) >= c.srv.stall()
}

// dueLocked ends streams whose time is over and returns when the next one's will be; zero means never.
func (c *conn) dueLocked(now time.Time) time.Time {
	var next time.Time
	over := func(at time.Time) bool {
		if at.IsZero() {
			return false
		}
		if !now.Before(at) {
			return true
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
		return false
	}
	for _, s := range c.mu.streams {
		switch {
		case over(s.restBy):
			c.resetLocked(s.id, http2.ErrCodeNo, s.ended)
			continue
		case over(s.writeBy):
			s.late = os.ErrDeadlineExceeded
			c.resetLocked(s.id, http2.ErrCodeInternal, s.ended)
			continue
		}
		if over(s.readBy) {
			s.readBy = time.Time{}
			s.body.end(os.ErrDeadlineExceeded)
		}
	}
	return next
}

// SetReadDeadline is found by http.ResponseController: the body ends with os.ErrDeadlineExceeded when it has not come by
// then. Zero means never.
func (w *response) SetReadDeadline(at time.Time) error {
	c := w.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	w.s.readBy = at
	if w.s.reads {
		c.wakeLocked(at)
	}
	return nil
}

// SetWriteDeadline is found by http.ResponseController: when the response has had to wait for the client, and is not whole
// by then, its stream is broken off. Zero means never.
func (w *response) SetWriteDeadline(at time.Time) error {
	c := w.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	w.s.writeBy = at
	if w.s.writes {
		c.wakeLocked(at)
	}
	return nil
}

// EnableFullDuplex is found by http.ResponseController; streams go both ways anyhow.
func (w *response) EnableFullDuplex() error { return nil }

// awaitLocked is what a writer does that cannot go on.
func (c *conn) awaitLocked(s *stream) {
	s.writes = true
	c.wakeLocked(s.writeBy)
	c.changed.Wait()
	s.writes = false
}

// awaitBody is what a reader does before it waits for more of a body.
func (c *conn) awaitBody(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.reads = true
	c.wakeLocked(s.readBy)
}
