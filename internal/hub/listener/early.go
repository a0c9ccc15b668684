package listener

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// What is read of a body that nobody wants, after the answer has been sent.
const (
	restBytes = 8 << 20
	restIn    = 5 * time.Second
)

// upright serves HTTP/1.1. There, an answer that comes before the body of its request has been read is easily lost: by
// clients and proxies that look at the answer only when they have sent all, and on connections that are closed with something
// unread on them. So the rest of a body is read after the answer, up to a bound; HTTP/2 does so by itself.
type upright struct{ http.Handler }

// ServeHTTP implements http.Handler.
func (u upright) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	rc.SetWriteDeadline(time.Time{}) //nolint:errcheck // that of the connection's last request; net/http has it
	if r.Body == http.NoBody || r.Header.Get("Upgrade") != "" {
		u.Handler.ServeHTTP(w, r)
		return
	}
	rc.EnableFullDuplex() //nolint:errcheck // or else net/http closes what it has not read when the answer begins
	in := &upload{ReadCloser: r.Body}
	with := r.WithContext(r.Context()) // net/http looks at the body of its own
	with.Body = in
	out := &refusal{ResponseWriter: w}
	u.Handler.ServeHTTP(out, with)
	out.release(true)
	if in.ended || w.Header().Get("Content-Length") == "" || !in.begun && r.Header.Get("Expect") != "" {
		return // also where the client does not know yet that this is all, or waits to be asked for the body
	}
	if rc.Flush() != nil || rc.SetReadDeadline(time.Now().Add(restIn)) != nil {
		return
	}
	io.CopyN(io.Discard, r.Body, restBytes) //nolint:errcheck // when that is not all, net/http closes the connection
}

// refusal holds back a refusal whose length is not known until it is: what is chunked ends only with the handler.
type refusal struct {
	http.ResponseWriter
	code int // held back
	text []byte
}

// maxRefusal is the longest that is held back.
const maxRefusal = 64 << 10

// WriteHeader implements http.ResponseWriter.
func (w *refusal) WriteHeader(code int) {
	if code >= 400 && w.Header()["Content-Length"] == nil {
		w.code = code
		return
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *refusal) Write(p []byte) (int, error) {
	if w.code == 0 {
		return w.ResponseWriter.Write(p)
	}
	if w.text = append(w.text, p...); len(w.text) > maxRefusal {
		w.release(false)
	}
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *refusal) Flush() {
	w.release(false)
	http.NewResponseController(w.ResponseWriter).Flush() //nolint:errcheck // the next write finds out
}

// Unwrap is for http.ResponseController.
func (w *refusal) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// release sends what was held back; whole says that it is all there will be.
func (w *refusal) release(whole bool) {
	if w.code == 0 {
		return
	}
	if whole {
		w.Header().Set("Content-Length", strconv.Itoa(len(w.text)))
	}
	w.ResponseWriter.WriteHeader(w.code)
	w.ResponseWriter.Write(w.text) //nolint:errcheck // there is nobody else to tell
	w.code, w.text = 0, nil
}

// upload is a body. It is not closed by who reads it, but by the server.
type upload struct {
	io.ReadCloser
	begun, ended bool
}

// Read implements io.Reader.
func (b *upload) Read(p []byte) (int, error) {
	b.begun = true
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}

// Close implements io.Closer.
func (b *upload) Close() error { return nil }
