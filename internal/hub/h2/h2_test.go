package h2

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

var quietly = slog.New(slog.NewTextHandler(io.Discard, nil))

func certificate(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// world is a server on loopback and a way to reach it.
type world struct {
	addr  string
	srv   *Server       // nil for net/http's
	calls *atomic.Int64 // writes to the connections below TLS
}

// counting counts the system calls that a connection's writes would be.
type counting struct {
	net.Conn
	calls *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	c.calls.Add(1)
	return c.Conn.Write(p)
}

func ours(t testing.TB, h http.Handler, change func(*Server)) *world {
	s := &Server{Handler: h, Log: quietly}
	if change != nil {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"h2"}, DynamicRecordSizingDisabled: true}
	calls := new(atomic.Int64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				tc := tls.Server(Wrap(counting{c, calls}), cfg)
				if tc.Handshake() == nil {
					s.Serve(tc)
				}
				tc.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
		wg.Wait()
	})
	return &world{l.Addr().String(), s, calls}
}

func theirs(t testing.TB, h http.Handler) *world {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"h2"}}
	srv := &http.Server{Handler: h, TLSConfig: cfg}
	go srv.Serve(tls.NewListener(l, cfg))
	t.Cleanup(func() { srv.Close() })
	return &world{addr: l.Addr().String()}
}

func (w *world) client(t testing.TB) *http.Client {
	tr := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (w *world) url(path string) string { return "https://" + w.addr + path }

// both runs a test against this server and net/http's, which must not differ.
func both(t *testing.T, h http.HandlerFunc, f func(t *testing.T, w *world, c *http.Client)) {
	t.Run("ours", func(t *testing.T) { w := ours(t, h, nil); f(t, w, w.client(t)) })
	t.Run("theirs", func(t *testing.T) { w := theirs(t, h); f(t, w, w.client(t)) })
}

func fetch(t *testing.T, c *http.Client, method, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestResponses(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/empty":
		case "/gone":
			w.WriteHeader(404)
			w.Header().Set("Late", "x")
			io.WriteString(w, "not here")
		case "/none":
			w.WriteHeader(204)
		case "/length":
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "12345")
		case "/sniff":
			io.WriteString(w, "<html>")
		case "/echo":
			w.Header()["X-Many"] = []string{r.Method, r.Host, r.URL.RawQuery, r.Header.Get("A"), r.Header.Get("Cookie")}
			w.Header().Set("Connection", "close-not")
			io.Copy(w, r.Body)
		case "/trailers":
			w.Header().Set("Trailer", "Sum")
			io.WriteString(w, "body")
			w.Header().Set("Sum", "4")
			w.Header().Set(http.TrailerPrefix+"More", "5")
		case "/big":
			w.Header().Set("X-Big", strings.Repeat("b", 40<<10)) // takes CONTINUATION
			w.WriteHeader(200)
		}
	}
	both(t, h, func(t *testing.T, w *world, c *http.Client) {
		for _, row := range []struct{ method, path, body, want, length, typ string }{
			{"GET", "/empty", "", "200 ", "0", ""},
			{"GET", "/gone", "", "404 not here", "", "text/plain; charset=utf-8"},
			{"GET", "/none", "", "204 ", "", ""},
			{"GET", "/length", "", "200 12345", "5", "text/plain; charset=utf-8"},
			{"HEAD", "/length", "", "200 ", "5", "text/plain; charset=utf-8"},
			{"GET", "/sniff", "", "200 <html>", "", "text/html; charset=utf-8"},
			{"POST", "/echo?q=1", "hello", "200 hello", "", "text/plain; charset=utf-8"},
		} {
			resp, body := fetch(t, c, row.method, w.url(row.path), strings.NewReader(row.body))
			if got := fmt.Sprintf("%d %s", resp.StatusCode, body); got != row.want {
				t.Errorf("%s: %q, want %q", row.path, got, row.want)
			}
			if got := resp.Header.Get("Content-Length"); row.length != "" && got != row.length {
				t.Errorf("%s: length %q, want %q", row.path, got, row.length)
			}
			if got := resp.Header.Get("Content-Type"); got != row.typ {
				t.Errorf("%s: type %q, want %q", row.path, got, row.typ)
			}
			if resp.Header.Get("Date") == "" || resp.Header.Get("Late") != "" || resp.Header.Get("Connection") != "" {
				t.Errorf("%s: header %v", row.path, resp.Header)
			}
		}
		req, _ := http.NewRequest("PUT", w.url("/echo?x=%20y"), nil)
		req.Header.Set("A", "ä")
		req.Header["Cookie"] = []string{"a=1; b=2"}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := fmt.Sprint(resp.Header["X-Many"]); got != fmt.Sprintf("[PUT %s x=%%20y ä a=1; b=2]", w.addr) {
			t.Errorf("echo %s", got)
		}
		resp, body := fetch(t, c, "GET", w.url("/trailers"), nil)
		if body != "body" || resp.Trailer.Get("Sum") != "4" || resp.Trailer.Get("More") != "5" {
			t.Errorf("trailers %q %v", body, resp.Trailer)
		}
		if resp, _ := fetch(t, c, "GET", w.url("/big"), nil); len(resp.Header.Get("X-Big")) != 40<<10 {
			t.Errorf("a large header has %d bytes", len(resp.Header.Get("X-Big")))
		}
	})
}

// Bodies both ways that are larger than every window, in pieces of all sizes, many at a time.
func TestLargeBodies(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			io.Copy(w, r.Body)
			return
		}
		line := bytes.Repeat([]byte("0123456789abcdef"), 512)
		for n, sent := 1, 0; sent < 12<<20; n = n%len(line) + 37 {
			p := line[:min(n, len(line))]
			w.Write(p)
			sent += len(p)
		}
	}
	both(t, h, func(t *testing.T, w *world, c *http.Client) {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				resp, err := c.Get(w.url("/"))
				if err != nil {
					t.Error(err)
					return
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if err != nil || n < 12<<20 {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
			wg.Go(func() {
				sent := bytes.Repeat([]byte("upload "), 1<<20)
				resp, err := c.Post(w.url("/"), "text/plain", bytes.NewReader(sent))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
				}
			})
		}
		wg.Wait()
	})
}

// A handler learns that its client has gone, and other streams go on.
func TestClientGoesAway(t *testing.T) {
	ended := make(chan error, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			return
		}
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		for {
			if _, err := w.Write([]byte("x")); err != nil {
				ended <- err
				return
			}
			w.(http.Flusher).Flush()
		}
	}
	both(t, h, func(t *testing.T, w *world, c *http.Client) {
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", w.url("/watch"), nil)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ended; err == nil {
			t.Error("no error")
		}
		resp.Body.Close()
		fetch(t, c, "GET", w.url("/quick"), nil)
	})
}

// A handler that breaks takes its stream with it and nothing else; one that leaves the body unread loses nothing.
func TestHandlersThatGiveUp(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/short":
			w.Header().Set("Content-Length", "9")
			io.WriteString(w, "less")
		case "/unread":
			w.WriteHeader(413)
			io.WriteString(w, "too large")
		}
	}
	both(t, h, func(t *testing.T, w *world, c *http.Client) {
		for _, path := range []string{"/panic", "/short"} {
			resp, err := c.Get(w.url(path))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%s: a broken body was taken for a whole one: %q", path, b)
			}
		}
		for range 200 { // more than the connection's window in all
			resp, err := c.Post(w.url("/unread"), "", bytes.NewReader(make([]byte, 300<<10)))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "too large" || resp.StatusCode != 413 {
				t.Fatalf("%d %q %v", resp.StatusCode, b, err)
			}
		}
	})
}

// A handler that writes more than it announced is stopped at that.
func TestMoreThanAnnounced(t *testing.T) {
	errs := make(chan error, 1)
	w := ours(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "12345")
		_, err := io.WriteString(w, "6")
		errs <- err
	}), nil)
	if _, body := fetch(t, w.client(t), "GET", w.url("/"), nil); body != "12345" {
		t.Errorf("body %q", body)
	}
	if err := <-errs; !errors.Is(err, http.ErrContentLength) {
		t.Error(err)
	}
}

func TestExpectContinue(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }
	both(t, h, func(t *testing.T, w *world, c *http.Client) {
		req, _ := http.NewRequest("POST", w.url("/"), strings.NewReader("after you"))
		req.Header.Set("Expect", "100-continue")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != "after you" {
			t.Errorf("%q", b)
		}
	})
}

// Watches that one event wakes are sent together, and each in order.
func TestManyWatchersOfOneConnection(t *testing.T) {
	const watchers, events = 80, 200
	var mu sync.Mutex
	grown, n := make(chan struct{}), 0
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "x/y")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		for at := 0; at < events; {
			mu.Lock()
			have, wait := n, grown
			mu.Unlock()
			if at == have {
				select {
				case <-wait:
				case <-r.Context().Done():
					return
				}
				continue
			}
			for ; at < have; at++ {
				fmt.Fprintf(w, "%d\n", at)
			}
			w.(http.Flusher).Flush()
		}
	}
	both(t, h, func(t *testing.T, w *world, c *http.Client) {
		mu.Lock()
		n = 0
		mu.Unlock()
		var want strings.Builder
		for i := range events {
			fmt.Fprintln(&want, i)
		}
		var ready, wg sync.WaitGroup
		for range watchers {
			ready.Add(1)
			wg.Go(func() {
				resp, err := c.Get(w.url("/"))
				ready.Done()
				if err != nil {
					t.Error(err)
					return
				}
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) != want.String() {
					t.Errorf("%d bytes, %v", len(b), err)
				}
			})
		}
		ready.Wait()
		for range events {
			mu.Lock()
			n++
			close(grown)
			grown = make(chan struct{})
			mu.Unlock()
		}
		wg.Wait()
	})
}

// bell is a watch: it writes its payload to every client each time it rings.
type bell struct {
	payload []byte
	mu      sync.Mutex
	next    chan struct{} // closed when it rings
}

func newBell(payload []byte) *bell { return &bell{payload: payload, next: make(chan struct{})} }

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.next)
	b.next = make(chan struct{})
}

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}

func (b *bell) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wait := b.wait()
	w.WriteHeader(200)
	w.(http.Flusher).Flush()
	for {
		select {
		case <-wait:
		case <-r.Context().Done():
			return
		}
		wait = b.wait()
		if _, err := w.Write(b.payload); err != nil {
			return
		}
		w.(http.Flusher).Flush()
	}
}

// An event that a hundred watchers of a connection are told of takes few system calls, not a hundred. How few depends on
// which of them runs first.
func TestCallsPerEvent(t *testing.T) {
	const watchers, events = 100, 50
	ring := newBell([]byte("event"))
	w := ours(t, ring, nil)
	c := w.client(t)
	got := make(chan struct{}, watchers)
	for range watchers {
		resp, err := c.Get(w.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		go func() {
			buf := make([]byte, len("event"))
			for {
				if _, err := io.ReadFull(resp.Body, buf); err != nil {
					return
				}
				got <- struct{}{}
			}
		}()
	}
	before := w.calls.Load()
	for range events {
		ring.ring()
		for range watchers {
			<-got
		}
	}
	per := float64(w.calls.Load()-before) / events
	t.Logf("%.1f system calls for an event to %d watchers", per, watchers)
	if per > watchers/2 {
		t.Errorf("%.1f system calls for an event to %d watchers", per, watchers)
	}
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	inside, goOn := make(chan struct{}), make(chan struct{})
	w := ours(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(inside)
		<-goOn
		io.WriteString(w, "done")
	}), nil)
	c := w.client(t)
	got := make(chan string)
	go func() {
		resp, err := c.Get(w.url("/"))
		if err != nil {
			got <- err.Error()
			return
		}
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-inside
	down := make(chan error)
	go func() { down <- w.srv.Shutdown(context.Background()) }()
	for { // until the connection takes no more
		w.srv.mu.Lock()
		done := w.srv.mu.done
		w.srv.mu.Unlock()
		if done {
			break
		}
	}
	close(goOn)
	if s := <-got; s != "done" {
		t.Errorf("answer %q", s)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

func TestShutdownBreaksWhatDoesNotEnd(t *testing.T) {
	inside := make(chan struct{})
	w := ours(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(inside)
		<-r.Context().Done()
	}), nil)
	c := w.client(t)
	failed := make(chan error)
	go func() { _, err := c.Get(w.url("/")); failed <- err }()
	<-inside
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.srv.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	if <-failed == nil {
		t.Error("the request has an answer")
	}
}

func TestSilentClientsAreAskedAndLetGo(t *testing.T) {
	w := ours(t, http.NotFoundHandler(), func(s *Server) { s.PingAfter, s.PingTimeout = 30*time.Millisecond, 30*time.Millisecond })
	p := dial(t, w)
	p.settle()
	var pings int
	for {
		f, err := p.fr.ReadFrame()
		if err != nil {
			break
		}
		if _, ok := f.(*http2.PingFrame); ok {
			pings++
		}
	}
	if pings != 1 {
		t.Errorf("%d pings before the connection was given up", pings)
	}
}

func TestIdleConnectionsAreLetGo(t *testing.T) {
	w := ours(t, http.NotFoundHandler(), func(s *Server) { s.Idle = 40 * time.Millisecond })
	p := dial(t, w)
	p.settle()
	if code := p.until(); code != http2.ErrCodeNo {
		t.Errorf("the connection was given up with %v", code)
	}
}

func BenchmarkWatchers(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 1100)
	for _, who := range []string{"ours", "theirs"} {
		b.Run(who, func(b *testing.B) {
			h := newBell(payload)
			var w *world
			if who == "ours" {
				w = ours(b, h, nil)
			} else {
				w = theirs(b, h)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var got atomic.Int64
			all := make(chan struct{}, 1)
			const conns, per = 10, 10
			for range conns {
				c := w.client(b)
				for range per {
					req, _ := http.NewRequestWithContext(ctx, "GET", w.url("/"), nil)
					resp, err := c.Do(req)
					if err != nil {
						b.Fatal(err)
					}
					go func() {
						buf := make([]byte, len(payload))
						for {
							if _, err := io.ReadFull(resp.Body, buf); err != nil {
								return
							}
							if got.Add(1)%(conns*per) == 0 {
								all <- struct{}{}
							}
						}
					}()
				}
			}
			for b.Loop() {
				h.ring()
				<-all
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(conns*per), "ns/delivery")
		})
	}
}
