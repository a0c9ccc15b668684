package h2

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Scripts of frames are played in virtual time, over a pipe, against this server and against net/http's. After each frame
// the script waits until the server has nothing more to do, so that both see the same, whatever runs first.

// tape is a client that says what it is told and keeps what it hears.
type tape struct {
	t     testing.TB
	srv   *Server // nil for net/http's
	c     *tls.Conn
	fr    *http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder

	mu    sync.Mutex
	heard []sound
	over  bool // the server has ended the connection
	ear   chan struct{}
}

// sound is a frame that came.
type sound struct {
	kind   http2.FrameType
	id     uint32
	code   http2.ErrCode
	status string // of a response's header
	end    bool
	n      int // of DATA
	at     time.Time
}

var testCert = sync.OnceValue(func() tls.Certificate { return certificate(new(testing.B)) })

// play runs a script against a server; what it reports has been checked by then.
func play(t *testing.T, oursIsIt bool, h http.Handler, script func(p *tape)) {
	synctest.Test(t, func(t *testing.T) { playHere(t, oursIsIt, h, script) })
}

func playHere(t testing.TB, oursIsIt bool, h http.Handler, script func(p *tape)) {
	client, server := net.Pipe()
	p := &tape{t: t}
	cfg := &tls.Config{Certificates: []tls.Certificate{testCert()}, NextProtos: []string{"h2"}}
	var wg sync.WaitGroup
	stop := func() {}
	if oursIsIt {
		p.srv = &Server{Handler: h, Log: quietly}
		wg.Go(func() {
			tc := tls.Server(Wrap(server), cfg)
			if tc.Handshake() == nil {
				p.srv.Serve(tc)
			}
			tc.Close()
		})
		stop = func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			p.srv.Shutdown(ctx) //nolint:errcheck // it says that ctx has ended
		}
	} else {
		l := &oneConn{c: server, closed: make(chan struct{})}
		srv := &http.Server{Handler: h, TLSConfig: cfg, ErrorLog: log.New(io.Discard, "", 0)}
		wg.Go(func() { srv.Serve(tls.NewListener(l, cfg)) }) //nolint:errcheck // ends with Close
		stop = func() {
			srv.Close()
			time.Sleep(time.Minute) // in which its last goroutines end
		}
	}
	p.c = tls.Client(client, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := p.c.Handshake(); err != nil {
		t.Fatal(err)
	}
	p.fr = http2.NewFramer(p.c, p.c)
	p.fr.AllowIllegalWrites = true
	p.fr.SetMaxReadFrameSize(1 << 20)
	p.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.enc = hpack.NewEncoder(&p.block)
	wg.Go(p.listen)
	script(p)
	if p.ear != nil {
		close(p.ear)
	}
	client.Close()
	server.Close()
	stop()
	wg.Wait()
}

// oneConn is a listener with one connection.
type oneConn struct {
	c      net.Conn
	once   sync.Once
	close  sync.Once
	closed chan struct{}
}

func (l *oneConn) Accept() (c net.Conn, err error) {
	l.once.Do(func() { c = l.c })
	if c != nil {
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { l.close.Do(func() { close(l.closed) }); return nil }
func (l *oneConn) Addr() net.Addr { return l.c.LocalAddr() }

// deaf has the client read no more.
func (p *tape) deaf() { p.mu.Lock(); p.ear = make(chan struct{}); p.mu.Unlock() }

func (p *tape) listen() {
	for {
		p.mu.Lock()
		ear := p.ear
		p.mu.Unlock()
		if ear != nil {
			<-ear
			return
		}
		f, err := p.fr.ReadFrame()
		if err != nil {
			p.mu.Lock()
			p.over = true
			p.mu.Unlock()
			io.Copy(io.Discard, p.c.NetConn()) //nolint:errcheck // whatever it still says
			return
		}
		s := sound{kind: f.Header().Type, id: f.Header().StreamID, at: time.Now()}
		switch f := f.(type) {
		case *http2.PingFrame:
			if !f.IsAck() {
				pong := append([]byte{0, 0, 8, byte(http2.FramePing), byte(http2.FlagPingAck), 0, 0, 0, 0}, f.Data[:]...)
				p.c.Write(pong) //nolint:errcheck // in one piece, beside what the script says
			}
		case *http2.RSTStreamFrame:
			s.code = f.ErrCode
		case *http2.GoAwayFrame:
			s.code = f.ErrCode
		case *http2.MetaHeadersFrame:
			s.status, s.end = f.PseudoValue("status"), f.StreamEnded()
		case *http2.DataFrame:
			s.end, s.n = f.StreamEnded(), len(f.Data())
		}
		p.mu.Lock()
		p.heard = append(p.heard, s)
		p.mu.Unlock()
	}
}

// begin says what every connection begins with.
func (p *tape) begin(settings ...http2.Setting) {
	io.WriteString(p.c, http2.ClientPreface) //nolint:errcheck // a broken connection shows in what is heard
	p.do(p.fr.WriteSettings(settings...))
}

// do waits until the server is at rest after a frame.
func (p *tape) do(error) { synctest.Wait() }

func (p *tape) fields(fields ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) //nolint:errcheck // into memory
	}
	return p.block.Bytes()
}

func (p *tape) headers(id uint32, end bool, fields ...string) {
	p.do(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.fields(fields...), EndHeaders: true, EndStream: end}))
}

func (p *tape) ask(id uint32, end bool, method, path string, more ...string) {
	p.headers(id, end, append([]string{":method", method, ":path", path, ":scheme", "https", ":authority", "a"}, more...)...)
}

func (p *tape) get(id uint32, more ...string)  { p.ask(id, true, "GET", "/", more...) }
func (p *tape) post(id uint32, more ...string) { p.ask(id, false, "POST", "/", more...) }

func (p *tape) data(id uint32, n int, end bool) { p.do(p.fr.WriteData(id, end, make([]byte, n))) }

// outcome is what became of a stream: how its answer ended, what it was broken off with, or what ended the connection.
func (p *tape) outcome(id uint32) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	status, out := "", ""
	for _, s := range p.heard {
		switch {
		case s.kind == http2.FrameGoAway && s.code != http2.ErrCodeNo:
			return "goaway " + s.code.String()
		case s.id != id:
		case s.kind == http2.FrameRSTStream && out == "":
			out = "reset " + s.code.String()
		case s.kind == http2.FrameRSTStream && s.code != http2.ErrCodeNo:
			out += ", reset " + s.code.String()
		case s.kind == http2.FrameHeaders && status == "":
			status = s.status
		}
		if s.id == id && s.end {
			out = "answer " + status
		}
	}
	switch {
	case out == "" && p.over:
		return "closed"
	case out == "":
		return "nothing"
	}
	return out
}

// strict is how hard an outcome is: 0 for what is as if nothing had been wrong.
func strict(outcome string) int {
	var level int
	for prefix, n := range map[string]int{"goaway": 2, "closed": 2, "reset": 1, "answer 4": 1} {
		if len(outcome) >= len(prefix) && outcome[:len(prefix)] == prefix {
			level = n
		}
	}
	if level == 0 && bytes.Contains([]byte(outcome), []byte(", reset")) {
		level = 1
	}
	return level
}

// against runs a script against both and has the outcome of a stream with ours, which must be what is wanted and no laxer
// than theirs.
func against(t *testing.T, h http.Handler, id uint32, want string, script func(p *tape)) {
	t.Helper()
	var got [2]string
	for i := range got {
		play(t, i == 0, h, func(p *tape) {
			script(p)
			got[i] = p.outcome(id)
		})
	}
	if got[0] != want || strict(got[0]) < strict(got[1]) {
		t.Errorf("%s, want %s; net/http: %s", got[0], want, got[1])
	}
}
