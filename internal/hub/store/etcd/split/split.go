package split

import (
	"context"
	"errors"
	"net"
	"time"
)

// Listener hands the connections of one listener on: those that begin with HTTP/2's preface to one server, all others to another.
type Listener struct {
	l            net.Listener
	HTTP2, HTTP1 net.Listener
	ended        chan struct{}
	http2, http1 *half
}

// half is the listener of one of them.
type half struct {
	of    *Listener
	conns chan net.Conn
	ended chan struct{}
}

// New makes one of l, which it closes when it ends.
func New(l net.Listener) *Listener {
	s := &Listener{l: l, ended: make(chan struct{})}
	s.http2, s.http1 = &half{s, make(chan net.Conn), s.ended}, &half{s, make(chan net.Conn), s.ended}
	s.HTTP2, s.HTTP1 = s.http2, s.http1
	return s
}

// Run accepts until ctx ends or the listener is closed.
func (s *Listener) Run(ctx context.Context) {
	defer close(s.ended)
	defer context.AfterFunc(ctx, func() { s.l.Close() })()
	for {
		conn, err := s.l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		go s.sort(conn)
	}
}

// preface is how a connection of HTTP/2 begins; no method of HTTP/1 has the same three letters.
const preface = "PRI"

func (s *Listener) sort(conn net.Conn) {
	head := make([]byte, len(preface))
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for n := 0; n < len(head); {
		m, err := conn.Read(head[n:])
		if n += m; err != nil {
			conn.Close()
			return
		}
	}
	_ = conn.SetReadDeadline(time.Time{})
	to := s.http1
	if string(head) == preface {
		to = s.http2
	}
	select {
	case to.conns <- &begun{conn, head}:
	case <-to.ended:
		conn.Close()
	}
}

// begun is a connection whose first bytes have been read.
type begun struct {
	net.Conn
	head []byte
}

func (c *begun) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// Accept implements net.Listener.
func (h *half) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.ended:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (h *half) Addr() net.Addr { return h.of.l.Addr() }

// Close implements net.Listener.
func (h *half) Close() error { return h.of.l.Close() }
