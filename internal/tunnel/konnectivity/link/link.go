package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"sampan.dev/internal/tunnel/konnectivity/wire"
)

const (
	// Room is how many bytes of a connection wait for its reader.
	Room = 512 << 10
	// maxWaiting is how many packets wait to be sent before the far end is taken for one that does not read.
	maxWaiting = 1 << 16
	// stalled is how long a connection without credit may hold up the others.
	stalled = 5 * time.Second
	// dialTimeout is how long the dialled end tries to connect.
	dialTimeout = 30 * time.Second
)

// Stream is either end of a gRPC stream of packets.
type Stream interface {
	Context() context.Context
	SendMsg(m any) error
	RecvMsg(m any) error
}

// DialFunc makes connections, as net.Dialer's DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Link is one stream and the connections in it. Its stream is sent to by who holds sending and read by Run alone. Once mu.ended is
// set, no connection or request is added; each that there was has been told.
type Link struct {
	stream Stream
	credit int64    // what the far end takes of a connection before it says more; 0: it does not count
	dial   DialFunc // nil on the dialling end
	drains func()
	wg     sync.WaitGroup
	ctx    context.Context // of the connections that are being made; ends with the link

	sending chan struct{} // holds one value while somebody sends

	mu struct {
		sync.Mutex
		ended   error
		conns   map[int64]*Conn
		asked   map[int64]*asked             // dialling end: requests without an answer, by their number
		making  map[int64]context.CancelFunc // dialled end: requests that are being carried out
		last    int64                        // dialled end: the newest connection's number
		waiting []*wire.Packet               // to be sent by the goroutine that is sending
		sends   bool                         // there is one
	}
}

// Config of a Link.
type Config struct {
	Stream Stream
	Credit int64    // what the far end takes of each connection before it says that it takes more; 0 if it does not count
	Dial   DialFunc // makes the connections that are asked for; nil on the end that asks
	Drains func()   // the far end says that it ends soon; may be nil
}

// asked is a request for a connection. One value is sent.
type asked struct {
	address string
	answer  chan answer
}

type answer struct {
	conn *Conn
	err  error
}

// ErrEnded says that a link has ended.
var ErrEnded = errors.New("the tunnel has ended")

// New makes a link over a stream. It is idle until Run.
func New(cfg Config) *Link {
	l := &Link{stream: cfg.Stream, credit: cfg.Credit, dial: cfg.Dial, drains: cfg.Drains, sending: make(chan struct{}, 1)}
	l.mu.conns = map[int64]*Conn{}
	l.mu.asked, l.mu.making = map[int64]*asked{}, map[int64]context.CancelFunc{}
	return l
}

// Run carries packets until the stream ends, and returns why it did. Before it returns, all connections have ended.
func (l *Link) Run() error {
	ctx, cancel := context.WithCancel(l.stream.Context())
	l.ctx = ctx
	stop := context.AfterFunc(ctx, func() { l.end(context.Cause(ctx)) }) // also while a full connection is waited for
	var err error
	for err == nil {
		var p wire.Packet
		if err = l.stream.RecvMsg(&p); err == nil {
			l.take(&p)
		}
	}
	l.end(err)
	if errors.Is(err, io.EOF) { // in order: what has come goes on to where it was sent
		late := time.AfterFunc(drainTimeout, cancel)
		l.wg.Wait()
		late.Stop()
	}
	cancel()
	stop()
	l.wg.Wait()
	return err
}

// Finish says that this end sends no more, after all that it has to send. The far end then ends the link.
func (l *Link) Finish() { l.later(nil) }

// take does what a packet says.
func (l *Link) take(p *wire.Packet) {
	switch p.Kind {
	case wire.DialRequest:
		l.make(p)
	case wire.DialClose:
		l.giveUp(p)
	case wire.DialResponse:
		l.answered(p)
	case wire.Data:
		if c := l.conn(p.Conn); c != nil && p.Bytes != nil {
			c.deliver(p.Bytes)
		} else if p.Bytes != nil {
			p.Bytes.Free() // it was on its way when the connection was closed here
		}
	case wire.Window:
		if c := l.conn(p.Conn); c != nil {
			c.grant(p.Credit)
		}
	case wire.CloseRequest, wire.CloseResponse:
		l.closed(p)
	case wire.Drain:
		if l.drains != nil {
			l.drains()
		}
	}
}

func (l *Link) closed(p *wire.Packet) {
	c := l.conn(p.Conn)
	switch {
	case c != nil:
		c.closedFar(p.Error)
	case p.Kind == wire.CloseRequest && l.dial != nil:
		l.later(&wire.Packet{Kind: wire.CloseResponse, Conn: p.Conn, Error: "Unknown connectID"}) // upstream's words
	}
}

func (l *Link) conn(id int64) *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.conns[id]
}

// open adds a connection, or returns nil when the link has ended.
func (l *Link) open(id int64, address string) *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.openLocked(id, address)
}

func (l *Link) openLocked(id int64, address string) *Conn {
	if l.mu.ended != nil {
		return nil
	}
	if id == 0 {
		l.mu.last++
		id = l.mu.last
	}
	if l.mu.conns[id] != nil {
		return nil
	}
	c := newConn(l, id, address)
	l.mu.conns[id] = c
	return c
}

// forget takes a connection out and tells the far end, if it is to be told.
func (l *Link) forget(c *Conn, tell bool) {
	l.mu.Lock()
	delete(l.mu.conns, c.id)
	l.mu.Unlock()
	if !tell {
		return
	}
	kind := wire.CloseRequest
	if l.dial != nil {
		kind = wire.CloseResponse
	}
	l.later(&wire.Packet{Kind: kind, Conn: c.id})
}

// end tells everything that is under way that the link has ended.
func (l *Link) end(err error) {
	l.mu.Lock()
	if l.mu.ended != nil {
		l.mu.Unlock()
		return
	}
	l.mu.ended = fmt.Errorf("%w: %w", ErrEnded, err)
	conns, waiting, cancels := l.mu.conns, l.mu.asked, l.mu.making
	l.mu.conns, l.mu.asked, l.mu.making, l.mu.waiting = nil, nil, nil, nil
	l.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
	for _, a := range waiting {
		a.answer <- answer{err: l.mu.ended}
	}
	for _, c := range conns {
		c.closedFar(err.Error())
	}
}

// Len counts the connections, and those that are asked for.
func (l *Link) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.conns) + len(l.mu.asked) + len(l.mu.making)
}

// send sends one packet, or for nil the end, and waits until the stream has taken it.
func (l *Link) send(p *wire.Packet) error {
	l.sending <- struct{}{}
	defer func() { <-l.sending }()
	if p == nil {
		if s, ok := l.stream.(interface{ CloseSend() error }); ok {
			return s.CloseSend()
		}
		return nil
	}
	if err := l.stream.SendMsg(p); err != nil {
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	return nil
}

// later sends a packet without waiting, after those that were given before. Who reads the stream must not wait for room in it:
// the far end might be waiting for the same.
func (l *Link) later(p *wire.Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.ended != nil {
		return
	}
	l.mu.waiting = append(l.mu.waiting, p)
	if len(l.mu.waiting) > maxWaiting {
		go l.end(errors.New("the far end does not read"))
	}
	if !l.mu.sends {
		l.mu.sends = true
		l.wg.Go(l.flush)
	}
}

// flush sends what waits and returns.
func (l *Link) flush() {
	for {
		l.mu.Lock()
		batch := l.mu.waiting
		if l.mu.waiting = nil; len(batch) == 0 {
			l.mu.sends = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for _, p := range batch {
			if l.send(p) != nil {
				return // and sends stays: the link ends
			}
		}
	}
}

// remoteAddr is the address of a connection's far end, as it was asked for.
type remoteAddr string

func (remoteAddr) Network() string  { return "tcp" }
func (a remoteAddr) String() string { return string(a) }

// netAddr reads an address as net does, so that those who look for a *net.TCPAddr find one.
func netAddr(address string) net.Addr {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return remoteAddr(address)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if ip := net.ParseIP(host); ip != nil && err == nil {
		return &net.TCPAddr{IP: ip, Port: int(n)}
	}
	return remoteAddr(address)
}
