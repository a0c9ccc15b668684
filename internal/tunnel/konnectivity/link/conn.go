package link

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"sampan.dev/internal/tunnel/konnectivity/wire"

	"google.golang.org/grpc/mem"
)

// piece is how much one packet carries at most: with what is around it, it fits a buffer of 32 KiB.
const piece = 32<<10 - 64

// Conn is one connection of a link. Its queue holds what the far end sent and nobody has read; queued is the sum of its bytes. The
// far end may send takes further bytes, and this end may send credit. owed is what has been read and not been told.
type Conn struct {
	link   *Link
	id     int64
	remote net.Addr

	readable, writable, room *sync.Cond // on mu

	mu struct {
		sync.Mutex
		queue                       []mem.Buffer
		queued, takes, credit, owed int64
		moved                       time.Time // when something was read last
		far                         error     // the far end has closed; io.EOF, or why
		near                        bool      // this end has
		onFar                       func()
		readBy, writeBy             deadline
	}
}

// deadline is when a call fails that waits. Its timer wakes who waits.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newConn(l *Link, id int64, address string) *Conn {
	c := &Conn{link: l, id: id, remote: netAddr(address)}
	c.readable, c.writable, c.room = sync.NewCond(&c.mu), sync.NewCond(&c.mu), sync.NewCond(&c.mu)
	c.mu.takes, c.mu.credit = Room, l.credit
	return c
}

var errFlow = errors.New("the far end sends more than there is room for")
var errSlow = errors.New("closed because it held up other connections of the tunnel")

// deliver puts what the far end sent into the queue. Without credit it waits for room.
func (c *Conn) deliver(b mem.Buffer) {
	n := int64(b.Len())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link.credit == 0 {
		c.waitForRoomLocked()
	} else if c.mu.takes -= n; c.mu.takes < 0 {
		c.failLocked(errFlow)
	}
	if c.mu.near || c.mu.far != nil {
		b.Free()
		return
	}
	c.mu.queue = append(c.mu.queue, b)
	c.mu.queued += n
	c.readable.Signal()
}

// waitForRoomLocked holds the stream until the queue has room; while others wait too, not for ever.
func (c *Conn) waitForRoomLocked() {
	if c.mu.queued < Room || c.mu.near || c.mu.far != nil {
		return
	}
	c.mu.moved = time.Now()
	wake := time.AfterFunc(stalled, func() { c.room.Broadcast() })
	defer wake.Stop()
	for c.mu.queued >= Room && !c.mu.near && c.mu.far == nil {
		if since := time.Since(c.mu.moved); since >= stalled && c.link.Len() > 1 {
			c.failLocked(errSlow)
			return
		} else if since >= stalled {
			wake.Reset(stalled)
		} else {
			wake.Reset(stalled - since)
		}
		c.room.Wait()
	}
}

// failLocked ends the connection for a reason of this end.
func (c *Conn) failLocked(err error) {
	if c.mu.far != nil || c.mu.near {
		return
	}
	c.mu.far = err
	c.wakeLocked()
	c.link.later(&wire.Packet{Kind: c.link.closing(), Conn: c.id})
}

// closing is how this end says that a connection is over.
func (l *Link) closing() wire.Kind {
	if l.dial != nil {
		return wire.CloseResponse
	}
	return wire.CloseRequest
}

// grant lets this end send n further bytes.
func (c *Conn) grant(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.mu.credit < 1<<40 {
		c.mu.credit += n
		c.writable.Broadcast()
	}
}

// closedFar says that the far end has closed; what it sent before can still be read.
func (c *Conn) closedFar(why string) {
	c.mu.Lock()
	if c.mu.far == nil {
		if c.mu.far = io.EOF; why != "" {
			c.mu.far = errors.New(why)
		}
		c.wakeLocked()
	}
	then := c.mu.onFar
	c.mu.onFar = nil
	c.mu.Unlock()
	if then != nil {
		then()
	}
}

// whenFar has f called when the far end closes, or now if it has.
func (c *Conn) whenFar(f func()) {
	c.mu.Lock()
	closed := c.mu.far != nil
	if !closed {
		c.mu.onFar = f
	}
	c.mu.Unlock()
	if closed {
		f()
	}
}

func (c *Conn) wakeLocked() {
	c.readable.Broadcast()
	c.writable.Broadcast()
	c.room.Broadcast()
}

// Close ends the connection. What has not been read is dropped.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.mu.near {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.mu.near, c.mu.onFar = true, nil
	for _, b := range c.mu.queue {
		b.Free()
	}
	c.mu.queue, c.mu.queued = nil, 0
	tell := c.mu.far == nil || c.link.dial != nil // the dialled end confirms what it was told
	for _, d := range []*deadline{&c.mu.readBy, &c.mu.writeBy} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	c.wakeLocked()
	c.mu.Unlock()
	c.link.forget(c, tell)
	return nil
}

// next waits for what is to be read and returns the first buffer, which stays in the queue.
func (c *Conn) nextLocked() (mem.Buffer, error) {
	for {
		switch {
		case c.mu.near:
			return nil, net.ErrClosed
		case c.mu.readBy.passed():
			return nil, os.ErrDeadlineExceeded
		case len(c.mu.queue) > 0:
			return c.mu.queue[0], nil
		case c.mu.far != nil:
			return nil, c.mu.far
		}
		c.readable.Wait()
	}
}

// readLocked counts n bytes as read and returns what the far end is to be told, 0 for nothing yet.
func (c *Conn) readLocked(n int) (credit int64) {
	c.mu.queued -= int64(n)
	c.mu.moved = time.Now()
	if c.link.credit == 0 {
		c.room.Signal()
		return 0
	}
	if c.mu.owed += int64(n); c.mu.owed < Room/2 || c.mu.far != nil {
		return 0
	}
	credit, c.mu.owed = c.mu.owed, 0
	c.mu.takes += credit
	return credit
}

func (c *Conn) tell(credit int64) {
	if credit > 0 {
		c.link.later(&wire.Packet{Kind: wire.Window, Conn: c.id, Credit: credit})
	}
}

// Read reads what the far end sent.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if len(p) == 0 {
		c.mu.Unlock()
		return 0, nil
	}
	b, err := c.nextLocked()
	if err != nil {
		c.mu.Unlock()
		return 0, c.wrap("read", err)
	}
	n, rest := mem.ReadUnsafe(p, b)
	if rest != nil {
		c.mu.queue[0] = rest
	} else {
		c.shiftLocked()
	}
	credit := c.readLocked(n)
	c.mu.Unlock()
	c.tell(credit)
	return n, nil
}

func (c *Conn) shiftLocked() {
	c.mu.queue[0] = nil
	if c.mu.queue = c.mu.queue[1:]; len(c.mu.queue) == 0 {
		c.mu.queue = nil
	}
}

// WriteTo copies what the far end sends to w. A connection of another link is handed the buffers themselves.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	other, handOver := w.(*Conn)
	var sum int64
	for {
		c.mu.Lock()
		b, err := c.nextLocked()
		if err != nil {
			c.mu.Unlock()
			if errors.Is(err, io.EOF) {
				return sum, nil
			}
			return sum, c.wrap("read", err)
		}
		c.shiftLocked()
		n := b.Len()
		c.mu.Unlock()
		if handOver {
			err = other.writeBuffer(b)
		} else {
			_, err = w.Write(b.ReadOnlyData())
			b.Free()
		}
		c.mu.Lock()
		credit := c.readLocked(n) // only now: until then it takes room here
		c.mu.Unlock()
		c.tell(credit)
		if err != nil {
			return sum, err
		}
		sum += int64(n)
	}
}

func (c *Conn) wrap(op string, err error) error {
	if errors.Is(err, io.EOF) && op == "read" {
		return io.EOF
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: c.remote, Err: err}
}

// reserve waits until something may be sent and returns how much of want.
func (c *Conn) reserve(want int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.mu.near:
			return 0, c.wrap("write", net.ErrClosed)
		case c.mu.far != nil:
			return 0, c.wrap("write", syscall.EPIPE)
		case c.mu.writeBy.passed():
			return 0, c.wrap("write", os.ErrDeadlineExceeded)
		case c.link.credit == 0:
			return min(want, piece), nil
		case c.mu.credit > 0:
			n := min(want, piece, int(c.mu.credit))
			c.mu.credit -= int64(n)
			return n, nil
		}
		c.writable.Wait()
	}
}

// Write sends p.
func (c *Conn) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n, err := c.reserve(len(p) - sent)
		if err == nil {
			err = c.link.send(&wire.Packet{Kind: wire.Data, Conn: c.id, Bytes: mem.Copy(p[sent:sent+n], mem.DefaultBufferPool())})
		}
		if err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// writeBuffer sends b, which it takes over.
func (c *Conn) writeBuffer(b mem.Buffer) error {
	defer b.Free()
	for sent, all := 0, b.Len(); sent < all; {
		n, err := c.reserve(all - sent)
		if err == nil {
			err = c.link.send(&wire.Packet{Kind: wire.Data, Conn: c.id, Bytes: b.Slice(sent, sent+n)})
		}
		if err != nil {
			return err
		}
		sent += n
	}
	return nil
}

// smallPiece is the size of the buffer that a source is read into while little comes, so that an idle connection holds little.
const smallPiece = 4 << 10

// ReadFrom sends what r has, without copying it.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	pool, size := mem.DefaultBufferPool(), smallPiece
	var sum int64
	for {
		buf := pool.Get(size)
		n, err := r.Read(*buf)
		if n == 0 {
			pool.Put(buf)
		} else {
			*buf = (*buf)[:n]
			if werr := c.writeBuffer(mem.NewBuffer(buf, pool)); werr != nil {
				return sum, werr
			}
			sum += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF):
			return sum, nil
		case err != nil:
			return sum, err
		case n == size:
			size = piece
		case n < smallPiece/2:
			size = smallPiece
		}
	}
}

// LocalAddr is nobody's: the connection begins on another machine.
func (c *Conn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

// RemoteAddr is what was dialled.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is net.Conn's.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline is net.Conn's.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(&c.mu.readBy, c.readable, t)
}

// SetWriteDeadline is net.Conn's. It ends a wait for credit; what waits for the network ends with the tunnel.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(&c.mu.writeBy, c.writable, t)
}

func (c *Conn) setDeadline(d *deadline, wake *sync.Cond, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.near {
		return net.ErrClosed
	}
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.timer = t, nil
	if !t.IsZero() {
		d.timer = time.AfterFunc(max(time.Until(t), 0), func() { wake.Broadcast() })
	}
	wake.Broadcast()
	return nil
}
