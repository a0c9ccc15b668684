package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// An answer may be there before the request's body is. Some clients look at an answer only when they have sent all, and
// some throw an answer away when a RST_STREAM follows on its heels. So the stream stays open for the rest of the body,
// which nobody reads, and is broken off only when too much of that comes, or nothing for too long.
const (
	restBytes = 8 << 20
	restIn    = 5 * time.Second
)

// restLocked leaves a stream, whose response has ended, open for what the client is still sending.
func (c *conn) restLocked(s *stream) {
	s.restBy, s.rest = time.Now().Add(restIn), restBytes
	s.readBy, s.writeBy = time.Time{}, time.Time{}
	dropped, room := s.body.abandon()
	c.giveBackLocked(int64(dropped))
	c.restWindowLocked(s, int64(room))
	c.wakeLocked(s.restBy)
}

// restWindowLocked lets the client send n more of what nobody reads.
func (c *conn) restWindowLocked(s *stream, n int64) {
	if n <= 0 {
		return
	}
	c.windowLocked(s.id, uint32(n))
	s.body.returned(int(n))
	s.restOwed = 0
}

// restDataLocked throws away what came for a stream that is answered.
func (c *conn) restDataLocked(s *stream, n int64, end bool) {
	c.giveBackLocked(n)
	if end {
		s.ended = true
		c.closeLocked(s, false)
		return
	}
	if s.rest -= n; s.rest <= 0 {
		c.resetLocked(s.id, http2.ErrCodeNo, s.ended)
		return
	}
	if s.restOwed += n; s.restOwed >= recvStream/4 {
		c.restWindowLocked(s, s.restOwed)
		c.nudgeLocked()
	}
}
