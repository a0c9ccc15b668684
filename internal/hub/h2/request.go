package h2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
)

// stream is one request with its response.
type stream struct {
	c      *conn
	id     uint32
	cancel context.CancelFunc
	body   body

	// Guarded by conn.mu.
	window int64 // what the client lets us send
	gone   error // set when the stream is closed; the handler may still run
	ended  bool  // the client has sent all it will
	want   int64 // bytes of the body that are still announced; -1 unknown
}

// headers opens a stream, or ends the body of one that is open.
func (c *conn) headers(f *http2.MetaHeadersFrame) error {
	id := f.StreamID
	if id%2 != 1 {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if id <= c.last.Load() {
		return c.trailers(f)
	}
	c.last.Store(id)
	if f.HasPriority() && f.Priority.StreamDep == id {
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	}
	s := &stream{c: c, id: id, ended: f.StreamEnded()}
	r, err := c.request(f, s)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.leaving || c.mu.err != nil:
		s.cancel()
		c.resetLocked(id, http2.ErrCodeRefusedStream) // the client may try it elsewhere
		return c.floodedLocked()
	case len(c.mu.streams) >= c.srv.maxStreams():
		s.cancel()
		c.resetLocked(id, http2.ErrCodeRefusedStream)
		return c.floodedLocked()
	case c.mu.running >= 4*c.srv.maxStreams():
		// It opens streams and resets them faster than their handlers end.
		s.cancel()
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	s.window = c.mu.initial
	c.mu.streams[id] = s
	c.mu.running++
	c.srv.do(&task{c, s, r, f.Truncated})
	return nil
}

// trailers are the fields after a body.
func (c *conn) trailers(f *http2.MetaHeadersFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.streams[f.StreamID]
	if s == nil {
		return nil // closed by us before the client knew
	}
	if s.ended || !f.StreamEnded() || len(f.PseudoFields()) > 0 {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
	}
	if s.want > 0 {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
	}
	for _, h := range f.RegularFields() {
		s.body.trailer(http.CanonicalHeaderKey(h.Name), h.Value)
	}
	s.ended = true
	s.body.end(io.EOF)
	return nil
}

// request makes an http.Request of a header block.
func (c *conn) request(f *http2.MetaHeadersFrame, s *stream) (*http.Request, error) {
	bad := http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
	method, path, scheme, host := f.PseudoValue("method"), f.PseudoValue("path"), f.PseudoValue("scheme"), f.PseudoValue("authority")
	if f.Truncated {
		method, path, scheme = or(method, "GET"), or(path, "/"), or(scheme, "https")
	}
	connect := method == http.MethodConnect
	if !httpguts.ValidHeaderFieldName(method) || f.PseudoValue("protocol") != "" ||
		connect && (path != "" || scheme != "" || host == "") || !connect && (path == "" || scheme != "https" && scheme != "http") {
		return nil, bad
	}
	r := &http.Request{
		Method: method, Host: host, Proto: "HTTP/2.0", ProtoMajor: 2, Header: make(http.Header, len(f.Fields)),
		RemoteAddr: c.remote, TLS: c.state, RequestURI: path,
	}
	s.want = -1
	for _, h := range f.RegularFields() {
		if !httpguts.ValidHeaderFieldValue(h.Value) {
			return nil, bad
		}
		key := canonical(h.Name)
		switch key {
		case "Content-Length":
			n, err := strconv.ParseUint(h.Value, 10, 63)
			if err != nil || s.want >= 0 && s.want != int64(n) {
				return nil, bad
			}
			s.want = int64(n)
		case "Cookie":
			if have := r.Header["Cookie"]; have != nil {
				have[0] += "; " + h.Value
				continue
			}
		}
		r.Header[key] = append(r.Header[key], h.Value)
	}
	if r.Host == "" {
		r.Host = r.Header.Get("Host")
	}
	delete(r.Header, "Host")
	var err error
	if connect {
		r.URL, r.RequestURI = &url.URL{Host: host}, host
	} else if r.URL, err = url.ParseRequestURI(path); err != nil {
		return nil, bad
	}
	c.withBody(r, s)
	ctx, cancel := context.WithCancel(c.ctx)
	s.cancel = cancel
	if s.ended && s.want > 0 {
		cancel()
		return nil, bad
	}
	return r.WithContext(ctx), nil
}

func (c *conn) withBody(r *http.Request, s *stream) {
	if te, ok := r.Header["Trailer"]; ok {
		for _, list := range te {
			for name := range strings.SplitSeq(list, ",") {
				switch name = http.CanonicalHeaderKey(textproto.TrimString(name)); name {
				case "Transfer-Encoding", "Trailer", "Content-Length", "":
				default:
					if r.Trailer == nil {
						r.Trailer = http.Header{}
					}
					r.Trailer[name] = nil
				}
			}
		}
		delete(r.Header, "Trailer")
	}
	s.body.s, s.body.trailers, s.body.more.L = s, r.Trailer, &s.body.mu
	if s.ended {
		s.body.err = io.EOF
		r.Body, r.ContentLength = http.NoBody, 0
		return
	}
	r.Body, r.ContentLength = &s.body, s.want
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		s.body.expects = true
		delete(r.Header, "Expect")
	}
}

// data takes a piece of a body.
func (c *conn) data(f *http2.DataFrame) error {
	n := int64(f.Length)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > c.mu.received {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	c.mu.received -= n
	s := c.mu.streams[f.StreamID]
	if s == nil || s.ended {
		if f.StreamID > c.last.Load() {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		c.giveBackLocked(n)
		if s != nil {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeStreamClosed}
		}
		return nil
	}
	payload := f.Data()
	if s.want >= 0 {
		if s.want -= int64(len(payload)); s.want < 0 || f.StreamEnded() && s.want > 0 {
			c.giveBackLocked(n)
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
		}
	}
	if !s.body.add(payload, int(n)) {
		c.giveBackLocked(n)
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
	}
	if padding := n - int64(len(payload)); padding > 0 {
		c.giveBackLocked(padding)
		if !f.StreamEnded() {
			c.windowLocked(s.id, uint32(padding))
			s.body.returned(int(padding))
		}
	}
	if f.StreamEnded() {
		s.ended = true
		s.body.end(io.EOF)
	}
	return nil
}

// giveBackLocked lets the client send again what was taken, in portions.
func (c *conn) giveBackLocked(n int64) {
	if c.mu.owed += n; c.mu.owed < recvConn/4 {
		return
	}
	c.windowLocked(0, uint32(c.mu.owed))
	c.mu.received += c.mu.owed
	c.mu.owed = 0
	c.nudgeLocked()
}

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

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.expects {
		b.expects = false
		b.s.c.goOn(b.s)
	}
	b.mu.Lock()
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
