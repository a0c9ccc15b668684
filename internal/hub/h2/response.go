package h2

import (
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// response is the http.ResponseWriter of one stream. It belongs to the handler's goroutine.
type response struct {
	s      *stream
	head   bool // of a HEAD request: the body is not sent
	header http.Header
	frozen http.Header // as it was when the handler said the status; nil until then

	status  int
	sent    bool // the header is on its way
	length  int64
	written int64
}

// serve runs the handler for one request.
func (c *conn) serve(t *task) {
	s, r := t.s, t.r
	w := &response{s: s, head: r.Method == http.MethodHead, header: http.Header{}, length: -1}
	done := false
	defer func() {
		if !done {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // net/http's own sentinel
				c.srv.Log.Error("panic while serving", "remote", c.remote, "panic", p, "stack", string(debug.Stack()))
			}
		}
		c.over(s, done)
	}()
	if t.truncated {
		w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
	} else {
		c.srv.Handler.ServeHTTP(w, r)
	}
	w.finish()
	done = true
}

// over accounts for a handler that has returned; one that did not finish its response leaves a broken stream.
func (c *conn) over(s *stream, done bool) {
	c.mu.Lock()
	switch {
	case s.gone != nil:
	case !done:
		c.resetLocked(s.id, http2.ErrCodeInternal, s.ended)
	case !s.ended:
		c.restLocked(s)
	default:
		c.closeLocked(s, false)
	}
	c.mu.running--
	c.changed.Broadcast()
	last := c.mu.leaving && c.mu.running == 0 && len(c.mu.streams) == 0
	c.mu.Unlock()
	s.cancel()
	if last {
		c.leave()
		return
	}
	c.flush(false)
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. The header leaves with the first part of the body.
func (w *response) WriteHeader(code int) {
	if w.status != 0 {
		return
	}
	if code >= 100 && code < 200 {
		w.s.c.inform(w.s, code, w.header)
		return
	}
	w.status = code
	if v := w.header.Get("Content-Length"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
			w.length = n
		} else {
			w.header.Del("Content-Length")
		}
	}
	// What the handler changes in the map after this is not for the header. Most have said what their body is by now.
	if w.header["Content-Type"] != nil || !bodyAllowed(code) {
		w.frozen = w.header
		w.send(false)
	} else {
		w.frozen = w.header.Clone()
	}
}

func bodyAllowed(code int) bool {
	return code != http.StatusNoContent && code != http.StatusNotModified
}

// send appends the header.
func (w *response) send(end bool) {
	if w.sent {
		return
	}
	w.sent = true
	w.s.c.respond(w.s, w.status, w.frozen, end)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		if w.header["Content-Type"] == nil && len(p) > 0 {
			w.header.Set("Content-Type", http.DetectContentType(p))
		}
		w.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if !w.sent {
		if len(p) > 0 {
			w.frozen.Set("Content-Type", http.DetectContentType(p)) // with one, the header would have been sent
		}
		w.send(false)
	}
	if w.head || len(p) == 0 {
		return len(p), nil
	}
	if err := w.s.c.write(w.s, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// FlushError sends what has been written; http.ResponseController calls it.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.send(false)
	c := w.s.c
	c.flush(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.s.gone
}

// Flush implements http.Flusher.
func (w *response) Flush() { w.FlushError() } //nolint:errcheck // the next write finds out

// finish ends the response.
func (w *response) finish() {
	if w.status == 0 {
		if w.header["Content-Length"] == nil && !w.head {
			w.header.Set("Content-Length", "0")
		}
		w.status, w.frozen = http.StatusOK, w.header
	}
	c, s := w.s.c, w.s
	trailers := w.trailers()
	if !w.sent {
		w.send(trailers == nil)
		if trailers == nil {
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.gone != nil:
	case w.length >= 0 && w.written < w.length && !w.head:
		c.resetLocked(s.id, http2.ErrCodeInternal, s.ended) // less than was announced
	case trailers != nil:
		c.blockLocked(s.id, 0, trailers, true)
	default:
		c.endLocked(s)
	}
}

// trailers are the fields that come after the body: those announced by Trailer, and those with http.TrailerPrefix.
func (w *response) trailers() http.Header {
	var out http.Header
	add := func(name string, values []string) {
		if out == nil {
			out = http.Header{}
		}
		out[name] = values
	}
	for key, values := range w.header {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			add(http.CanonicalHeaderKey(name), values)
		}
	}
	for _, list := range w.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if values := w.header[name]; len(values) > 0 {
				add(name, values)
			}
		}
	}
	return out
}

// respond appends the header of a response.
func (c *conn) respond(s *stream, status int, header http.Header, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if status >= 200 && httpguts.HeaderValuesContainsToken(header["Connection"], "close") {
		c.mu.leaving, c.mu.busy = true, true
		if s.last = true; s.gone != nil {
			c.farewellLocked()
		}
	}
	if s.gone == nil {
		c.blockLocked(s.id, status, header, end)
	}
}

// inform sends an interim answer.
func (c *conn) inform(s *stream, status int, header http.Header) {
	c.respond(s, status, header, false)
	c.flush(false)
}

// goOn tells a client that asked that its body is wanted.
func (c *conn) goOn(s *stream) { c.inform(s, http.StatusContinue, nil) }

// blockLocked appends a header block: a response's with status, trailers with 0.
func (c *conn) blockLocked(id uint32, status int, header http.Header, end bool) {
	c.mu.block.Reset()
	if status != 0 {
		c.field(":status", strconv.Itoa(status), false)
	}
	for key, values := range header {
		name, ok := lower(key)
		if !ok || status != 0 && strings.HasPrefix(key, http.TrailerPrefix) {
			continue
		}
		for _, v := range values {
			if httpguts.ValidHeaderFieldValue(v) {
				c.field(name, v, once[name])
			}
		}
	}
	if status >= 200 && header["Date"] == nil {
		c.field("date", date(), true)
	}
	block := c.mu.block.Bytes()
	t, flags := http2.FrameHeaders, http2.Flags(0)
	if end {
		flags = http2.FlagHeadersEndStream
	}
	for {
		n := min(len(block), c.mu.maxFrame)
		if n == len(block) {
			flags |= http2.FlagHeadersEndHeaders
		}
		c.frameLocked(t, flags, id, n)
		c.mu.out = append(c.mu.out, block[:n]...)
		if block = block[n:]; len(block) == 0 {
			return
		}
		t, flags = http2.FrameContinuation, 0
	}
}

// once are fields whose values do not come again, so that they would only push others out of the table.
var once = map[string]bool{"audit-id": true, "content-length": true, "etag": true, "warning": true, "last-modified": true}

func (c *conn) field(name, value string, never bool) {
	// The buffer takes everything.
	c.mu.encoder.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: never}) //nolint:errcheck
}

// lower is the name of a field on the wire; false for those that HTTP/2 has no place for.
func lower(key string) (string, bool) {
	switch key {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade":
		return "", false
	}
	if l, ok := lowered[key]; ok {
		return l, true
	}
	return strings.ToLower(key), httpguts.ValidHeaderFieldName(key)
}

// canonical is the name of a field in an http.Header.
func canonical(name string) string {
	if k, ok := raised[name]; ok {
		return k
	}
	return http.CanonicalHeaderKey(name)
}

// Names that most requests and responses have.
var lowered, raised = func() (map[string]string, map[string]string) {
	l, r := map[string]string{}, map[string]string{}
	for _, k := range []string{
		"Accept", "Accept-Encoding", "Audit-Id", "Authorization", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Type", "Cookie",
		"Date", "Etag", "Expect", "Kubectl-Command", "Kubectl-Session", "Last-Modified", "Te", "Traceparent", "User-Agent", "Vary", "Warning",
		"X-Content-Type-Options", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Uri",
		"X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid",
	} {
		l[k], r[strings.ToLower(k)] = strings.ToLower(k), k
	}
	return l, r
}()

// date is the Date header of now, made once a second.
func date() string {
	now := time.Now()
	if d := lastDate.Load(); d != nil && d.unix == now.Unix() {
		return d.text
	}
	d := &dated{now.Unix(), now.UTC().Format(http.TimeFormat)}
	lastDate.Store(d)
	return d.text
}

type dated struct {
	unix int64
	text string
}

var lastDate atomic.Pointer[dated]
