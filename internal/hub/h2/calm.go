package h2

import (
	"bufio"
	"time"

	"golang.org/x/net/http2"
)

// What a client may do that costs it next to nothing and us something, in bursts and for long. Whoever does more of it has
// its connection ended with ENHANCE_YOUR_CALM. Well-behaved clients stay far below.
const (
	trifles      = 10_000 // pings, settings, priorities, empty frames, window updates, requests that are none
	trifleEvery  = time.Millisecond
	cancels      = 1_000 // requests broken off before their answer was whole
	cancelEvery  = 10 * time.Millisecond
	bytesATrifle = 512   // bytes sent to the client that allow it another window update; Go's client makes one in 4 KiB
	blockFrames  = 1_000 // that one header block may come in
)

// budget is a leaky bucket. It needs no timer: it is emptied when it is looked at.
type budget struct {
	level int64
	at    time.Time
}

// spend takes n and reports whether that was within the burst, of which one comes back every so often.
func (b *budget) spend(n, burst int64, every time.Duration, now time.Time) bool {
	if back := int64(now.Sub(b.at) / every); back >= b.level {
		b.level, b.at = 0, now
	} else if back > 0 {
		b.level -= back
		b.at = b.at.Add(time.Duration(back) * every)
	}
	b.level += n
	return b.level <= burst
}

// trifleLocked accounts for n small things that the client made us do.
func (c *conn) trifleLocked(n int) error {
	if !c.mu.trifles.spend(int64(n), trifles, trifleEvery, time.Now()) {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return c.floodedLocked()
}

// cancelledLocked accounts for a request that the client broke off.
func (c *conn) cancelledLocked() error {
	if !c.mu.cancels.spend(1, cancels, cancelEvery, time.Now()) {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return nil
}

// floodedLocked finds a client that makes us answer and does not read the answers.
func (c *conn) floodedLocked() error {
	if len(c.mu.out) > sendFlood {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return nil
}

// meter is between the framer and the connection. The framer reads a header block whole, however many frames it comes in;
// their size is bounded there, their number here.
type meter struct {
	in    *bufio.Reader
	heads int             // frames begun since the reader last asked for one
	kind  http2.FrameType // of the newest
	ended bool            // whether the newest header block ends its stream
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	if len(p) != headerLen {
		return m.in.Read(p)
	}
	if m.heads++; m.heads > blockFrames {
		return 0, http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	n, err := m.in.Read(p)
	if n == headerLen {
		if m.kind = http2.FrameType(p[3]); m.kind == http2.FrameHeaders {
			m.ended = http2.Flags(p[4]).Has(http2.FlagHeadersEndStream)
		}
	}
	return n, err
}
