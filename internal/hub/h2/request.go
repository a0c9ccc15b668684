package h2

import (
	"context"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

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
	late   error // what gone is to be instead of errGone
	last   bool  // the client is told to go elsewhere when this one has closed; before that, some lose the answer
	ended  bool  // the client has sent all it will
	want   int64 // bytes of the body that are still announced; -1 unknown

	// When the body and the response must be whole, zero for never, and whether the handler waits for the client to do its part.
	readBy, writeBy time.Time
	reads, writes   bool

	// Of a stream that is answered, but whose body goes on: when and after how much more it is broken off, and what of the
	// body has not been given back to the window.
	restBy         time.Time
	rest, restOwed int64
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
		c.resetLocked(id, http2.ErrCodeRefusedStream, s.ended) // the client may try it elsewhere
		return c.trifleLocked(1)
	case len(c.mu.streams) >= c.srv.maxStreams():
		s.cancel()
		c.resetLocked(id, http2.ErrCodeRefusedStream, s.ended)
		return c.trifleLocked(1)
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
		switch c.mu.past.of(f.StreamID) {
		case broken:
			return c.trifleLocked(1)
		case closed:
			return http2.ConnectionError(http2.ErrCodeStreamClosed)
		}
		return http2.ConnectionError(http2.ErrCodeProtocol) // streams are opened in the order of their numbers
	}
	if s.ended {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeStreamClosed}
	}
	bad := http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
	if !f.StreamEnded() || len(f.PseudoFields()) > 0 || s.want > 0 {
		return bad
	}
	for _, h := range f.RegularFields() {
		key := http.CanonicalHeaderKey(h.Name)
		if !httpguts.ValidHeaderFieldValue(h.Value) || hopByHop(key, h.Value) {
			return bad
		}
		s.body.trailer(key, h.Value)
	}
	s.ended = true
	if !s.restBy.IsZero() {
		c.closeLocked(s, false)
	}
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
		key := canonical(h.Name)
		if !httpguts.ValidHeaderFieldValue(h.Value) || hopByHop(key, h.Value) {
			return nil, bad
		}
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

// hopByHop reports whether a field speaks of the connection, which no field of HTTP/2 may (RFC 9113, 8.2.2).
func hopByHop(key, value string) bool {
	switch key {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade":
		return true
	case "Te":
		return value != "" && !strings.EqualFold(value, "trailers")
	}
	return false
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
		if c.idle(f.StreamID) {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		c.giveBackLocked(n)
		if s == nil && c.mu.past.of(f.StreamID) == broken {
			return c.trifleLocked(1)
		}
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeStreamClosed}
	}
	payload := f.Data()
	if len(payload) == 0 && !f.StreamEnded() {
		if err := c.trifleLocked(1); err != nil {
			return err
		}
	}
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
	if !s.restBy.IsZero() {
		c.restDataLocked(s, n, f.StreamEnded())
		return nil
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
