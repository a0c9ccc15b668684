package h2

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer is a client that speaks frames, to say what a well-behaved one does not.
type peer struct {
	t     *testing.T
	c     *tls.Conn
	fr    *http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

func dial(t *testing.T, w *world) *peer {
	c, err := tls.Dial("tcp", w.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &peer{t: t, c: c, fr: http2.NewFramer(c, c)}
	p.fr.AllowIllegalWrites = true
	p.fr.SetMaxReadFrameSize(1 << 20)
	p.enc = hpack.NewEncoder(&p.block)
	io.WriteString(c, http2.ClientPreface)
	return p
}

func (p *peer) settle() { p.fr.WriteSettings() }

func (p *peer) headers(id uint32, end bool, fields ...string) {
	p.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block.Bytes(), EndHeaders: true, EndStream: end})
}

func (p *peer) get(id uint32, more ...string) {
	p.headers(id, true, append([]string{":method", "GET", ":path", "/", ":scheme", "https", ":authority", "a"}, more...)...)
}

// until reads to the end of the connection and returns GOAWAY's code.
func (p *peer) until() http2.ErrCode {
	code := http2.ErrCode(0xffff)
	for {
		f, err := p.fr.ReadFrame()
		if err != nil {
			return code
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			code = g.ErrCode
		}
	}
}

// outcome reads until stream id ends or the connection does.
func (p *peer) outcome(id uint32) string {
	for {
		f, err := p.fr.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			return "goaway " + f.ErrCode.String()
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return "reset " + f.ErrCode.String()
			}
		case *http2.HeadersFrame:
			if f.StreamID == id && f.StreamEnded() {
				return "answer"
			}
		case *http2.DataFrame:
			if f.StreamID == id && f.StreamEnded() {
				return "answer"
			}
		}
	}
}

// What RFC 9113 says of broken frames.
func TestProtocolErrors(t *testing.T) {
	for name, row := range map[string]struct {
		do   func(p *peer)
		want string
	}{
		"good":                {func(p *peer) { p.settle(); p.get(1) }, "answer"},
		"no settings":         {func(p *peer) { p.get(1) }, "goaway PROTOCOL_ERROR"},
		"even stream":         {func(p *peer) { p.settle(); p.get(2) }, "goaway PROTOCOL_ERROR"},
		"no path":             {func(p *peer) { p.settle(); p.headers(1, true, ":method", "GET", ":scheme", "https") }, "reset PROTOCOL_ERROR"},
		"upper case":          {func(p *peer) { p.settle(); p.get(1, "Upper", "x") }, "reset PROTOCOL_ERROR"},
		"pseudo after fields": {func(p *peer) { p.settle(); p.get(1, "a", "b", ":late", "x") }, "reset PROTOCOL_ERROR"},
		"unknown pseudo": {func(p *peer) {
			p.settle()
			p.headers(1, true, ":method", "GET", ":path", "/", ":scheme", "https", ":x", "y")
		}, "reset PROTOCOL_ERROR"},
		"two lengths":           {func(p *peer) { p.settle(); p.get(1, "content-length", "1", "content-length", "2") }, "reset PROTOCOL_ERROR"},
		"length without body":   {func(p *peer) { p.settle(); p.get(1, "content-length", "5") }, "reset PROTOCOL_ERROR"},
		"data on idle stream":   {func(p *peer) { p.settle(); p.fr.WriteData(1, true, nil) }, "goaway PROTOCOL_ERROR"},
		"reset of idle stream":  {func(p *peer) { p.settle(); p.fr.WriteRSTStream(1, 0) }, "goaway PROTOCOL_ERROR"},
		"window of idle stream": {func(p *peer) { p.settle(); p.fr.WriteWindowUpdate(1, 5) }, "goaway PROTOCOL_ERROR"},
		"window overflow":       {func(p *peer) { p.settle(); p.fr.WriteWindowUpdate(0, maxWindow) }, "goaway FLOW_CONTROL_ERROR"},
		"zero window":           {func(p *peer) { p.settle(); p.fr.WriteWindowUpdate(0, 0) }, "goaway PROTOCOL_ERROR"},
		"push": {func(p *peer) {
			p.settle()
			p.fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
		}, "goaway PROTOCOL_ERROR"},
		"bad setting":     {func(p *peer) { p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}) }, "goaway FLOW_CONTROL_ERROR"},
		"frame too large": {func(p *peer) { p.settle(); p.fr.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, recvFrame+1)) }, "goaway FRAME_SIZE_ERROR"},
		"broken block": {func(p *peer) {
			p.settle()
			p.fr.WriteRawFrame(http2.FrameHeaders, 5, 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}, "goaway COMPRESSION_ERROR"},
		"unknown frames":           {func(p *peer) { p.settle(); p.fr.WriteRawFrame(0xfa, 0, 0, []byte("x")); p.get(1) }, "answer"},
		"ping":                     {func(p *peer) { p.settle(); p.fr.WritePing(false, [8]byte{1}); p.get(1) }, "answer"},
		"header list too large":    {func(p *peer) { p.settle(); p.get(1, "a", strings.Repeat("x", 1<<14), "b", strings.Repeat("y", 1<<14)) }, "answer"},
		"client goes on elsewhere": {func(p *peer) { p.settle(); p.get(1); p.fr.WriteGoAway(0, 0, nil) }, "answer"},
	} {
		t.Run(name, func(t *testing.T) {
			w := ours(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }), nil)
			p := dial(t, w)
			row.do(p)
			if got := p.outcome(1); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
		})
	}
}

// A client that sends more than it was let is cut off; one that stays within is not.
func TestReceiveWindow(t *testing.T) {
	hold := make(chan struct{})
	w := ours(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-hold }), nil)
	defer close(hold)
	p := dial(t, w)
	p.settle()
	p.headers(1, false, ":method", "POST", ":path", "/", ":scheme", "https")
	for range recvStream / (16 << 10) {
		p.fr.WriteData(1, false, make([]byte, 16<<10))
	}
	p.fr.WriteData(1, false, []byte("x"))
	if got := p.outcome(1); got != "reset FLOW_CONTROL_ERROR" {
		t.Error(got)
	}
}

func TestStreamLimit(t *testing.T) {
	hold := make(chan struct{})
	w := ours(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}), func(s *Server) { s.MaxStreams = 3 })
	p := dial(t, w)
	p.settle()
	for id := range uint32(4) {
		p.get(2*id + 1)
	}
	if got := p.outcome(7); got != "reset REFUSED_STREAM" {
		t.Errorf("the fourth of three: %s", got)
	}
	close(hold)
	p.get(9)
	if got := p.outcome(9); got != "answer" {
		t.Errorf("after the others: %s", got)
	}
}

// Streams that are opened and reset at once, while their handlers still run, end the connection (CVE-2023-44487).
func TestRapidReset(t *testing.T) {
	hold := make(chan struct{})
	w := ours(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }), func(s *Server) { s.MaxStreams = 3 })
	defer close(hold)
	p := dial(t, w)
	p.settle()
	for id := uint32(1); id < 1000; id += 2 {
		p.get(id)
		p.fr.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	if code := p.until(); code != http2.ErrCodeEnhanceYourCalm && code != 0xffff {
		t.Error(code)
	}
}

// Somebody who makes us answer and does not read the answers does not make us keep them.
func TestPingFlood(t *testing.T) {
	w := ours(t, http.NotFoundHandler(), nil)
	p := dial(t, w)
	p.settle()
	var err error
	for n := 0; err == nil; n++ {
		if n > 10_000_000 {
			t.Fatal("ten million pings were taken")
		}
		err = p.fr.WritePing(false, [8]byte{})
	}
	if errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// DATA frames are as large as the client takes, and only its settings bound them.
func TestFrameSize(t *testing.T) {
	for _, limit := range []uint32{16 << 10, 64 << 10} {
		w := ours(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 1000 {
				w.Write(make([]byte, 300))
			}
		}), nil)
		p := dial(t, w)
		p.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: limit}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		p.fr.WriteWindowUpdate(0, 1<<20)
		p.get(1)
		frames, total := 0, 0
		for end := false; !end; {
			f, err := p.fr.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if d, ok := f.(*http2.DataFrame); ok {
				if d.Length > limit {
					t.Fatalf("a frame of %d bytes, limit %d", d.Length, limit)
				}
				frames, total, end = frames+1, total+len(d.Data()), d.StreamEnded()
			}
		}
		// A frame grows until it is sent, and window updates may have some sent early; 1,000 writes never take 1,000 frames.
		if total != 300_000 || frames > 60 {
			t.Errorf("limit %d: %d bytes in %d frames", limit, total, frames)
		}
	}
}
