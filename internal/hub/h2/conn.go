package h2

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
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

	last  atomic.Uint32 // the newest stream that the client has opened; the reader raises it
	heard atomic.Int64  // when the last frame came, in Unix nanoseconds

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
		initial  int64 // of new streams
		maxFrame int
		received int64 // what the client may still send on all streams together
		owed     int64 // what was read of bodies and not yet given back to received

		streams map[uint32]*stream
		running int  // handlers
		leaving bool // no more streams are taken
		left    bool // and the client has been told
		err     error
		idle    time.Time // since when there are no streams
		pinged  time.Time // zero when no answer is awaited
		timer   *time.Timer
	}
}

func newConn(s *Server, tc *tls.Conn) *conn {
	c := &conn{srv: s, tls: tc, remote: tc.RemoteAddr().String(), in: bufio.NewReader(tc)}
	c.cork, _ = tc.NetConn().(*cork)
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
	c.frames = http2.NewFramer(io.Discard, c.in)
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
		f, err := c.frames.ReadFrame()
		c.heard.Store(time.Now().UnixNano())
		if err == nil {
			err = c.frame(f)
		}
		var bad http2.StreamError
		if errors.As(err, &bad) {
			c.mu.Lock()
			c.last.Store(max(c.last.Load(), bad.StreamID)) // a request too broken to be one
			c.resetLocked(bad.StreamID, bad.Code)
			err = c.floodedLocked()
			c.mu.Unlock()
		}
		if err != nil {
			return err
		}
	}
}

func (c *conn) frame(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return c.headers(f)
	case *http2.DataFrame:
		return c.data(f)
	case *http2.WindowUpdateFrame:
		return c.windowUpdate(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.PingFrame:
		return c.ping(f)
	case *http2.RSTStreamFrame:
		return c.reset(f)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case *http2.GoAwayFrame:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.leaving = true // it opens no more streams; what it has open goes on
	}
	return nil
}

func (c *conn) settings(f *http2.SettingsFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingHeaderTableSize:
			c.mu.encoder.SetMaxDynamicTableSizeLimit(min(s.Val, 4096))
		case http2.SettingMaxFrameSize:
			c.mu.maxFrame = int(min(s.Val, sendFrame))
		case http2.SettingInitialWindowSize:
			grown := int64(s.Val) - c.mu.initial
			c.mu.initial = int64(s.Val)
			for _, st := range c.mu.streams {
				if st.window += grown; st.window > maxWindow {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
			c.changed.Broadcast()
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.frameLocked(http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
	return c.answerLocked()
}

func (c *conn) ping(f *http2.PingFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.IsAck() {
		c.mu.pinged = time.Time{}
		return nil
	}
	c.frameLocked(http2.FramePing, http2.FlagPingAck, 0, len(f.Data))
	c.mu.out = append(c.mu.out, f.Data[:]...)
	return c.answerLocked()
}

// answerLocked has what was appended sent soon, without waiting for it.
func (c *conn) answerLocked() error {
	if err := c.floodedLocked(); err != nil {
		return err
	}
	c.nudgeLocked()
	return nil
}

// floodedLocked finds a client that makes us answer and does not read the answers.
func (c *conn) floodedLocked() error {
	if len(c.mu.out) > sendFlood {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return nil
}

const maxWindow = 1<<31 - 1

func (c *conn) windowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.StreamID == 0 {
		if c.mu.window += int64(f.Increment); c.mu.window > maxWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.changed.Broadcast()
		return nil
	}
	s := c.mu.streams[f.StreamID]
	if s == nil {
		if f.StreamID > c.last.Load() {
			return http2.ConnectionError(http2.ErrCodeProtocol) // of a stream that is not open yet
		}
		return nil
	}
	if s.window += int64(f.Increment); s.window > maxWindow {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
	}
	c.changed.Broadcast()
	return nil
}

// windowLocked lets the client send n bytes more, on a stream or (0) on all together.
func (c *conn) windowLocked(id, n uint32) {
	c.frameLocked(http2.FrameWindowUpdate, 0, id, 4)
	c.mu.out = binary.BigEndian.AppendUint32(c.mu.out, n)
}

func (c *conn) reset(f *http2.RSTStreamFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.mu.streams[f.StreamID]; s != nil {
		c.closeLocked(s)
	} else if f.StreamID > c.last.Load() {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil
}

// resetLocked ends a stream for the client as well as for its handler.
func (c *conn) resetLocked(id uint32, code http2.ErrCode) {
	if s := c.mu.streams[id]; s != nil {
		c.closeLocked(s)
	}
	c.frameLocked(http2.FrameRSTStream, 0, id, 4)
	c.mu.out = binary.BigEndian.AppendUint32(c.mu.out, uint32(code))
	c.nudgeLocked()
}

// closeLocked takes a stream off the connection. Its handler finds errGone when it writes, or reads what has not come.
func (c *conn) closeLocked(s *stream) {
	if s.gone != nil {
		return
	}
	s.gone = errGone
	delete(c.mu.streams, s.id)
	if len(c.mu.streams) == 0 {
		c.mu.idle = time.Now()
	}
	c.giveBackLocked(int64(s.body.drop())) // nobody will read it
	s.cancel()
	c.changed.Broadcast()
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
		c.closeLocked(s)
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

// leave tells the client to open no more streams here, and ends the connection when the last one has ended.
func (c *conn) leave() {
	c.mu.Lock()
	if !c.mu.left {
		c.mu.left = true
		c.goAwayLocked(http2.ErrCodeNo)
	}
	c.mu.Unlock()
	c.flush(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mu.flushing && c.mu.err == nil {
		c.changed.Wait()
	}
	if len(c.mu.streams) == 0 && c.mu.running == 0 {
		c.failLocked(errShutdown)
	}
}

// lookAfter runs now and then until the connection has failed: it asks a client that has been silent whether it is still
// there, and lets go of one that is not or that has had nothing to ask for a long time.
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
	if len(c.mu.streams) == 0 {
		next = min(next, c.srv.idle()-now.Sub(c.mu.idle))
	}
	c.mu.timer = time.AfterFunc(next, c.lookAfter)
}

// quiet reports whether a connection ended as connections do.
func quiet(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
