package h2

import (
	"encoding/binary"
	"errors"
	"runtime"

	"golang.org/x/net/http2"
)

const headerLen = 9 // of a frame

// rounds is how often one flush writes what others have added meanwhile before it leaves that to a goroutine of its own.
const rounds = 4

var (
	errGone     = errors.New("h2: the stream is closed")
	errShutdown = errors.New("h2: the server is shutting down")
)

// frameLocked appends a frame's header for n bytes of payload, which the caller appends.
func (c *conn) frameLocked(t http2.FrameType, flags http2.Flags, id uint32, n int) {
	if c.mu.out == nil {
		c.mu.out = getBuffer()
	}
	c.mu.growing = nil
	c.mu.out = append(c.mu.out, byte(n>>16), byte(n>>8), byte(n), byte(t), byte(flags))
	c.mu.out = binary.BigEndian.AppendUint32(c.mu.out, id)
}

// dataLocked appends p, which the windows allow, to the DATA frame before it, if that is of the same stream and has room, or
// else as a new frame.
func (c *conn) dataLocked(s *stream, p []byte) {
	for len(p) > 0 {
		if c.mu.growing != s || c.growingLen() >= c.mu.maxFrame {
			at := len(c.mu.out)
			c.frameLocked(http2.FrameData, 0, s.id, 0)
			c.mu.growing, c.mu.growingAt = s, at
		}
		n := min(len(p), c.mu.maxFrame-c.growingLen())
		c.mu.out = append(c.mu.out, p[:n]...)
		p = p[n:]
		h, size := c.mu.out[c.mu.growingAt:], c.growingLen()
		h[0], h[1], h[2] = byte(size>>16), byte(size>>8), byte(size)
	}
}

// growingLen is the payload so far of the frame that may still grow.
func (c *conn) growingLen() int { return len(c.mu.out) - c.mu.growingAt - headerLen }

// write appends p to the stream's body as far as the windows and the buffer let it, waiting for them, and sends when
// there is enough for that. It fails when the stream has been closed.
func (c *conn) write(s *stream, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		if s.gone != nil {
			return s.gone
		}
		n := int(min(int64(len(p)), s.window, c.mu.window, int64(sendFull-len(c.mu.out))))
		if n > 0 {
			s.window -= int64(n)
			c.mu.window -= int64(n)
			c.mu.credit = min(c.mu.credit+int64(n), sendCredit)
			c.dataLocked(s, p[:n])
			p = p[n:]
		}
		switch {
		case len(p) == 0 && len(c.mu.out) < sendAt:
		case len(c.mu.out) > 0 && !c.mu.flushing:
			c.sendLocked(false)
		case n <= 0:
			c.awaitLocked(s)
		}
	}
	return nil
}

// endLocked ends the stream's response, in its last DATA frame where that has not left yet.
func (c *conn) endLocked(s *stream) {
	if c.mu.growing == s {
		c.mu.out[c.mu.growingAt+4] |= byte(http2.FlagDataEndStream)
		c.mu.growing = nil
		return
	}
	c.frameLocked(http2.FrameData, http2.FlagDataEndStream, s.id, 0)
}

// flush sends what there is. When somebody else is sending, that one takes it along. yield lets the others that run
// because of the same event append theirs first.
func (c *conn) flush(yield bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.out) > 0 && !c.mu.flushing {
		c.sendLocked(yield)
	}
}

// nudgeLocked sends what there is from another goroutine; the reader may not wait for the client to read.
func (c *conn) nudgeLocked() {
	if !c.mu.flushing {
		c.mu.flushing = true
		go c.drain()
	}
}

func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeLocked(-1)
}

// sendLocked is flush by the one who does it. It returns with the lock held, but lets go of it meanwhile.
func (c *conn) sendLocked(yield bool) {
	c.mu.flushing = true
	if yield {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	c.writeLocked(rounds)
}

// writeLocked writes until nothing is left, most times at most (-1: any), and hands the rest to drain.
func (c *conn) writeLocked(most int) {
	for n := 0; len(c.mu.out) > 0 && c.mu.err == nil; n++ {
		if n == most {
			go c.drain()
			return
		}
		buf := c.mu.out
		c.mu.out, c.mu.growing = nil, nil
		c.mu.Unlock()
		err := c.transmit(buf)
		putBuffer(buf)
		c.mu.Lock()
		if err != nil {
			c.failLocked(err)
		}
		c.changed.Broadcast()
	}
	c.mu.flushing = false
	if c.mu.err != nil {
		c.mu.out = nil
	}
	c.changed.Broadcast()
}

// transmit encrypts and sends.
func (c *conn) transmit(buf []byte) error {
	if c.cork == nil {
		_, err := c.tls.Write(buf)
		c.sent.Add(1)
		return err
	}
	c.cork.hold()
	_, err := c.tls.Write(buf)
	if e := c.cork.release(); err == nil {
		err = e
	}
	return err
}
