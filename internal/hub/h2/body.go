package h2

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// body is what comes of a request's body until the handler reads it.
type body struct {
	s        *stream
	expects  bool // the client waits for a word before it sends
	trailers http.Header

	mu   sync.Mutex
	more sync.Cond
	buf  []byte
	err  error // after buf
	room int   // taken of the stream's window and not given back
}

var errBodyClosed = errors.New("http: read on closed body")

// add takes a piece whose frame took n of the window; it reports whether the window allowed that.
func (b *body) add(p []byte, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.room+n > recvStream {
		return false
	}
	b.room += n
	if b.err == nil {
		b.buf = append(b.buf, p...)
	}
	b.more.Broadcast()
	return true
}

func (b *body) returned(n int) {
	b.mu.Lock()
	b.room -= n
	b.mu.Unlock()
}

func (b *body) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.more.Broadcast()
}

func (b *body) trailer(key, value string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, announced := b.trailers[key]; announced {
		b.trailers[key] = append(b.trailers[key], value)
	}
}

// drop throws away what nobody will read and returns how much that was.
func (b *body) drop() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.buf)
	b.buf = nil
	if b.err == nil {
		b.err = errGone
	}
	b.more.Broadcast()
	return n
}

// abandon is drop for a stream that stays open: nobody will read what has come or will come. room is what was taken of the
// stream's window.
func (b *body) abandon() (dropped, room int) {
	b.mu.Lock()
	room = b.room
	b.mu.Unlock()
	return b.drop(), room
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.expects {
		b.expects = false
		b.s.c.goOn(b.s)
	}
	b.mu.Lock()
	if len(b.buf) == 0 && b.err == nil {
		b.mu.Unlock()
		b.s.c.awaitBody(b.s)
		b.mu.Lock()
	}
	for len(b.buf) == 0 && b.err == nil {
		b.more.Wait()
	}
	n := copy(p, b.buf)
	if b.buf = b.buf[n:]; len(b.buf) == 0 {
		b.buf = nil
	}
	var err error
	if n == 0 && len(p) > 0 {
		err = b.err
	}
	back := 0
	if b.err == nil && b.room-len(b.buf) >= recvStream/4 {
		back = b.room - len(b.buf)
		b.room -= back
	}
	b.mu.Unlock()
	if n > 0 {
		b.s.c.taken(b.s, n, back)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	n := 0
	b.mu.Lock()
	n = len(b.buf)
	b.buf = nil
	if b.err == nil || b.err == io.EOF {
		b.err = errBodyClosed
	}
	b.more.Broadcast()
	b.mu.Unlock()
	if n > 0 {
		b.s.c.taken(b.s, n, 0)
	}
	return nil
}

// taken gives n bytes that were read back to the connection's window and back to the stream's.
func (c *conn) taken(s *stream, n, back int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if back > 0 && s.gone == nil && !s.ended {
		c.windowLocked(s.id, uint32(back))
		c.nudgeLocked()
	}
	c.giveBackLocked(int64(n))
}
