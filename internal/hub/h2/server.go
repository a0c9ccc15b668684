package h2

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves connections on which TLS has agreed on "h2". The zero value of each bound means its default.
type Server struct {
	Handler http.Handler
	Log     *slog.Logger // connections that break are told at Debug, panics of the handler at Error; required

	MaxStreams     int           // open at a time on one connection; 100
	MaxHeaderBytes int           // of a request, as SETTINGS_MAX_HEADER_LIST_SIZE counts them; 1 MiB
	Idle           time.Duration // after which a connection without requests is closed; 90 s
	PingAfter      time.Duration // without a frame from the client; 30 s
	PingTimeout    time.Duration // without an answer, after which the client is taken for gone; 15 s
	Stall          time.Duration // after which a client that takes nothing of what is being sent is taken for gone; 30 s

	// BaseContext is what the contexts of requests derive from; nil means context.Background.
	BaseContext context.Context

	mu struct {
		sync.Mutex
		conns map[*conn]struct{}
		done  bool
	}
	conns sync.WaitGroup

	// Goroutines that have run a handler wait here for another: their stacks have grown as handlers need them, and growing
	// one costs as much as a small request.
	work  chan *task
	quit  chan struct{}
	ready sync.Once
	spare atomic.Int32
}

// maxSpare is how many goroutines wait for work at most.
const maxSpare = 64

// task is a request to be handled.
type task struct {
	c         *conn
	s         *stream
	r         *http.Request
	truncated bool
}

func (s *Server) init() {
	s.work, s.quit = make(chan *task), make(chan struct{})
}

func (s *Server) do(t *task) {
	select {
	case s.work <- t:
	default:
		go s.worker(t)
	}
}

func (s *Server) worker(t *task) {
	for {
		t.c.serve(t)
		t = nil
		if s.spare.Add(1) > maxSpare {
			s.spare.Add(-1)
			return
		}
		select {
		case t = <-s.work:
			s.spare.Add(-1)
		case <-s.quit:
			return
		}
	}
}

// Windows and buffers, in bytes.
const (
	recvStream = 64 << 10 // of a body that nobody has read yet; many may wait for memory at a time
	recvConn   = 100 * recvStream
	recvFrame  = 64 << 10  // the largest frame taken; each connection keeps a buffer for one
	sendFrame  = 256 << 10 // the largest DATA frame made, where the client takes it
	sendAt     = 48 << 10  // a writer that has this much before it sends it
	sendFull   = 128 << 10 // a writer waits while this much is on its way
	sendFlood  = 4 << 20   // acknowledgements that a client asks for and does not read
	sendCredit = 64 << 20  // of what was sent, what counts for window updates
)

const prefaceIn = 10 * time.Second // for the client to say what every connection begins with

func (s *Server) maxStreams() int       { return or(s.MaxStreams, 100) }
func (s *Server) maxHeader() uint32     { return uint32(or(s.MaxHeaderBytes, 1<<20)) }
func (s *Server) idle() time.Duration   { return or(s.Idle, 90*time.Second) }
func (s *Server) silent() time.Duration { return or(s.PingAfter, 30*time.Second) }
func (s *Server) unheard() time.Duration {
	return or(s.PingTimeout, 15*time.Second)
}

func (s *Server) stall() time.Duration { return or(s.Stall, 30*time.Second) }

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Wrap puts what Serve needs below TLS: give the result to tls.Server.
func Wrap(c net.Conn) net.Conn { return &cork{Conn: c} }

// Serve serves one connection, whose handshake is done, until it ends. Where the connection below TLS came from Wrap, what
// is sent at once takes one system call.
func (s *Server) Serve(tc *tls.Conn) {
	s.ready.Do(s.init)
	c := newConn(s, tc)
	s.mu.Lock()
	if s.mu.done {
		s.mu.Unlock()
		tc.Close()
		return
	}
	if s.mu.conns == nil {
		s.mu.conns = map[*conn]struct{}{}
	}
	s.mu.conns[c] = struct{}{}
	s.conns.Add(1)
	s.mu.Unlock()
	defer s.conns.Done()
	defer func() {
		s.mu.Lock()
		delete(s.mu.conns, c)
		s.mu.Unlock()
	}()
	c.run()
}

// Shutdown tells clients to go elsewhere, lets the requests under way finish and returns when all connections have ended.
// When ctx ends first, it breaks them and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.ready.Do(s.init)
	s.mu.Lock()
	if !s.mu.done {
		defer close(s.quit)
	}
	s.mu.done = true
	for c := range s.mu.conns {
		go c.leave()
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.conns.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.mu.conns {
		go c.fail(errShutdown)
	}
	s.mu.Unlock()
	<-ended
	return ctx.Err()
}
