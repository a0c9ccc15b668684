package h2

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// conn is one connection.
type conn struct {
	srv    *Server
	tls    *tls.Conn
	cork   *cork // nil when the connection below TLS is not ours
	state  *tls.ConnectionState
	remote string
	ctx    context.Context
	cancel context.CancelFunc

	// The reader's own.
	frames *http2.Framer
	in     *bufio.Reader
	meter  *meter

	last  atomic.Uint32 // the newest stream that the client has opened; the reader raises it
	heard atomic.Int64  // when the last frame came, in Unix nanoseconds
	sent  atomic.Uint64 // writes that the kernel has taken

	changed *sync.Cond // on mu: windows, buffer, or the end of streams
	mu      struct {
		sync.Mutex
		out       []byte
		flushing  bool    // somebody is writing
		growing   *stream // whose DATA frame at growingAt in out may still grow
		growingAt int

		encoder *hpack.Encoder
		block   bytes.Buffer // what encoder writes to

		window   int64 // what the client lets us send on all streams together
		credit   int64 // what was sent and not yet set against window updates
		initial  int64 // of new streams
		maxFrame int
		received int64 // what the client may still send on all streams together
		owed     int64 // what was read of bodies and not yet given back to received

		streams map[uint32]*stream
		past    past
		running int  // handlers
		leaving bool // no more streams are taken
		left    bool // and the client has been told
		busy    bool // the client may be sending what is not wanted; closing at once would lose what it has not read
		err     error

		trifles, cancels budget

		idle    time.Time // since when there are no streams
		pinged  time.Time // zero when no answer is awaited
		stuck   time.Time // when sent was stuckAt
		stuckAt uint64
		timer   *time.Timer // of lookAfter, which runs at wakes
		wakes   time.Time
	}
}

func newConn(s *Server, tc *tls.Conn) *conn {
	c := &conn{srv: s, tls: tc, remote: tc.RemoteAddr().String(), in: bufio.NewReader(tc)}
	c.meter = &meter{in: c.in}
	if c.cork, _ = tc.NetConn().(*cork); c.cork != nil {
		c.cork.sent = &c.sent
	}
	st := tc.ConnectionState()
	c.state = &st
	base := s.BaseContext
	if base == nil {
		base = context.Background()
	}
	c.ctx, c.cancel = context.WithCancel(context.WithValue(base, http.LocalAddrContextKey, tc.LocalAddr()))
	c.changed = sync.NewCond(&c.mu)
	c.mu.window, c.mu.initial, c.mu.maxFrame, c.mu.received = 65535, 65535, 16384, 65535
	c.mu.streams = map[uint32]*stream{}
	c.mu.encoder = hpack.NewEncoder(&c.mu.block)
	c.mu.idle = time.Now()
	c.frames = http2.NewFramer(io.Discard, c.meter)
	c.frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.frames.MaxHeaderListSize = s.maxHeader()
	c.frames.SetMaxReadFrameSize(recvFrame)
	c.frames.SetReuseFrames()
	return c
}

// run serves the connection and returns when every handler has.
func (c *conn) run() {
	defer c.tls.Close()
	defer c.cancel()
	err := c.greet()
	if err == nil {
		c.lookAfter()
		err = c.read()
	}
	var broken http2.ConnectionError
	if errors.As(err, &broken) {
		c.explain(http2.ErrCode(broken))
	} else if errors.Is(err, http2.ErrFrameTooLarge) {
		c.explain(http2.ErrCodeFrameSize)
	}
	c.fail(err)
	if !quiet(err) {
		c.srv.Log.Debug("http2 connection ended", "remote", c.remote, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mu.running > 0 {
		c.changed.Wait()
	}
}

// greet exchanges what every connection begins with.
func (c *conn) greet() error {
	c.tls.SetDeadline(time.Now().Add(prefaceIn))
	c.mu.Lock()
	settings := []http2.Setting{
		{ID: http2.SettingMaxConcurrentStreams, Val: uint32(c.srv.maxStreams())},
		{ID: http2.SettingMaxHeaderListSize, Val: c.srv.maxHeader()},
		{ID: http2.SettingInitialWindowSize, Val: recvStream},
		{ID: http2.SettingMaxFrameSize, Val: recvFrame},
	}
	c.frameLocked(http2.FrameSettings, 0, 0, 6*len(settings))
	for _, s := range settings {
		c.mu.out = binary.BigEndian.AppendUint16(c.mu.out, uint16(s.ID))
		c.mu.out = binary.BigEndian.AppendUint32(c.mu.out, s.Val)
	}
	c.windowLocked(0, recvConn-uint32(c.mu.received))
	c.mu.received = recvConn
	c.mu.Unlock()
	c.flush(false)

	var preface [len(http2.ClientPreface)]byte
	if _, err := io.ReadFull(c.in, preface[:]); err != nil {
		return err
	}
	if string(preface[:]) != http2.ClientPreface {
		return errors.New("the client does not begin as HTTP/2 does")
	}
	f, err := c.frames.ReadFrame()
	if err != nil {
		return err
	}
	first, ok := f.(*http2.SettingsFrame)
	if !ok || first.IsAck() {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.heard.Store(time.Now().UnixNano())
	c.tls.SetDeadline(time.Time{})
	return c.settings(first)
}

// read takes frames until the connection ends.
func (c *conn) read() error {
	for {
		c.meter.heads = 0
		f, err := c.frames.ReadFrame()
		c.heard.Store(time.Now().UnixNano())
		if err == nil {
			err = c.frame(f)
		}
		var bad http2.StreamError
		if errors.As(err, &bad) {
			err = c.refuse(bad)
		}
		if err != nil {
			return err
		}
	}
}

// refuse answers a frame that is wrong for its stream alone.
func (c *conn) refuse(bad http2.StreamError) error {
	ended := true
	if c.meter.kind == http2.FrameHeaders || c.meter.kind == http2.FrameContinuation {
		ended = c.meter.ended
		if bad.StreamID%2 != 1 {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		c.last.Store(max(c.last.Load(), bad.StreamID)) // a request too broken to be one
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resetLocked(bad.StreamID, bad.Code, ended)
	return c.trifleLocked(1)
}

// resetLocked ends a stream for the client as well as for its handler. Of one that is not open it must be told whether the
// client had ended it.
func (c *conn) resetLocked(id uint32, code http2.ErrCode, ended bool) {
	if s := c.mu.streams[id]; s != nil {
		c.closeLocked(s, true)
	} else if !c.idle(id) {
		c.mu.past.note(id, !ended)
	}
	c.frameLocked(http2.FrameRSTStream, 0, id, 4)
	c.mu.out = binary.BigEndian.AppendUint32(c.mu.out, uint32(code))
	c.nudgeLocked()
}

// closeLocked takes a stream off the connection; broken says that we break it off, and that the client need not know yet.
// Its handler finds an error when it writes, or reads what has not come.
func (c *conn) closeLocked(s *stream, broken bool) {
	if s.gone != nil {
		return
	}
	s.gone = errGone
	if s.late != nil {
		s.gone = s.late
	}
	delete(c.mu.streams, s.id)
	c.mu.past.note(s.id, broken && !s.ended)
	c.mu.busy = c.mu.busy || broken && !s.ended
	if len(c.mu.streams) == 0 {
		c.mu.idle = time.Now()
	}
	c.giveBackLocked(int64(s.body.drop())) // nobody will read it
	s.cancel()
	c.changed.Broadcast()
	if s.last && c.mu.err == nil {
		c.farewellLocked()
	}
	if c.mu.leaving && len(c.mu.streams) == 0 {
		go c.leave()
	}
}

// linger is how long a client that broke the protocol has to read why.
const linger = time.Second

// explain tells a client that broke the protocol so, and waits until it has had time to read that: closing a connection
// with something unread on it throws away what is on its way to the other side.
func (c *conn) explain(code http2.ErrCode) {
	c.tls.SetDeadline(time.Now().Add(linger))
	c.mu.Lock()
	c.goAwayLocked(code)
	for c.mu.flushing && c.mu.err == nil {
		c.changed.Wait()
	}
	if c.mu.err == nil {
		c.sendLocked(false)
	}
	broken := c.mu.err != nil
	c.mu.Unlock()
	if !broken && c.tls.CloseWrite() == nil {
		io.Copy(io.Discard, c.tls.NetConn()) //nolint:errcheck // ended by the deadline at the latest
	}
}

// fail ends the connection.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked(err)
}

func (c *conn) failLocked(err error) {
	if c.mu.err != nil {
		return
	}
	if err == nil {
		err = io.EOF
	}
	c.mu.err = err
	if c.mu.timer != nil {
		c.mu.timer.Stop()
	}
	for _, s := range c.mu.streams {
		c.closeLocked(s, true)
	}
	c.changed.Broadcast()
	c.cancel()
	// Below TLS, so that a writer that waits for the client lets go of its lock.
	c.tls.NetConn().Close()
}

func (c *conn) goAwayLocked(code http2.ErrCode) {
	c.mu.leaving = true
	c.frameLocked(http2.FrameGoAway, 0, 0, 8)
	c.mu.out = binary.BigEndian.AppendUint32(c.mu.out, c.last.Load())
	c.mu.out = binary.BigEndian.AppendUint32(c.mu.out, uint32(code))
}

// farewellLocked tells the client to open no more streams here.
func (c *conn) farewellLocked() {
	if !c.mu.left {
		c.mu.left = true
		c.goAwayLocked(http2.ErrCodeNo)
		c.nudgeLocked()
	}
}

// leave does that, and ends the connection when the last stream has ended.
func (c *conn) leave() {
	c.mu.Lock()
	c.farewellLocked()
	c.mu.Unlock()
	c.flush(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mu.flushing && c.mu.err == nil {
		c.changed.Wait()
	}
	if len(c.mu.streams) > 0 || c.mu.running > 0 {
		return
	}
	if c.mu.busy {
		c.tls.NetConn().SetReadDeadline(time.Now().Add(linger)) //nolint:errcheck // then it has failed
		return
	}
	c.failLocked(errShutdown)
}

// quiet reports whether a connection ended as connections do.
func quiet(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
