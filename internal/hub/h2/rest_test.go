package h2

import (
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// hasty answers with the status in the path before it has read anything.
var hasty = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("close") {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(413)
	io.WriteString(w, "no\n") //nolint:errcheck // the client may have gone
})

// resets counts the times stream id was broken off, and tells how long after its answer the first was.
func (p *tape) resets(id uint32) (n int, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var answered time.Time
	for _, s := range p.heard {
		switch {
		case s.id != id:
		case s.end:
			answered = s.at
		case s.kind == http2.FrameRSTStream:
			if n++; n == 1 {
				after = s.at.Sub(answered)
			}
		}
	}
	return n, after
}

// goAways are the codes of the GOAWAY frames that came.
func (p *tape) goAways() (codes []http2.ErrCode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.heard {
		if s.kind == http2.FrameGoAway {
			codes = append(codes, s.code)
		}
	}
	return codes
}

// An answer that comes before the body has been sent reaches every client, whatever it does about the rest of the body, and
// the connection goes on.
func TestAnswersBeforeTheBody(t *testing.T) {
	const answered = "answer 413"
	for name, do := range map[string]func(t *testing.T, p *tape){
		// As curl 7.88, which throws away an answer when the stream is broken off in the same read.
		"stops and breaks off": func(t *testing.T, p *tape) {
			p.post(1)
			p.data(1, 16<<10, false)
			if n, _ := p.resets(1); n != 0 {
				t.Error("broken off together with the answer")
			}
			p.cancel(1)
		},
		// As clients that look at the answer when they have sent all.
		"sends all": func(t *testing.T, p *tape) {
			p.post(1)
			for range 4 << 20 / (16 << 10) {
				p.data(1, 16<<10, false)
			}
			p.data(1, 0, true)
			if n, _ := p.resets(1); n != 0 {
				t.Error("broken off while it sent what it may")
			}
		},
		"sends all, with trailers": func(t *testing.T, p *tape) {
			p.post(1)
			p.data(1, 16<<10, false)
			p.headers(1, true, "sum", "1")
			if n, _ := p.resets(1); n != 0 {
				t.Error("broken off while it sent what it may")
			}
		},
		"sends without end": func(t *testing.T, p *tape) {
			p.post(1)
			sent := 0
			for n := 0; n == 0 && sent < 2*restBytes; n, _ = p.resets(1) {
				p.data(1, 16<<10, false)
				sent += 16 << 10
			}
			if sent < restBytes/2 || sent > restBytes+recvStream {
				t.Errorf("broken off after %d bytes", sent)
			}
		},
		"stalls": func(t *testing.T, p *tape) {
			p.post(1)
			p.data(1, 5, false)
			time.Sleep(2 * restIn)
			if n, after := p.resets(1); n != 1 || after < restIn || after > restIn+time.Second {
				t.Errorf("broken off %d times, %v after the answer", n, after)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, true, hasty, func(p *tape) {
				p.begin()
				do(t, p)
				p.get(9)
				if a, b := p.outcome(1), p.outcome(9); a != answered || b != answered {
					t.Errorf("%s, and on the next stream %s", a, b)
				}
			})
		})
	}
}

// An answer that ends its connection (Connection: close) has GOAWAY follow it, no sooner than the client is done, and takes
// no further requests.
func TestAnswersThatEndTheConnection(t *testing.T) {
	play(t, true, hasty, func(p *tape) {
		p.begin()
		p.ask(1, false, "POST", "/?close")
		p.data(1, 5, false)
		if len(p.goAways()) != 0 {
			t.Error("GOAWAY while the client sends")
		}
		p.get(3)
		p.data(1, 5, true)
		if got := p.goAways(); len(got) != 1 || got[0] != http2.ErrCodeNo {
			t.Errorf("GOAWAY %v", got)
		}
		if a, b := p.outcome(1), p.outcome(3); a != "answer 413" || b != "reset REFUSED_STREAM" {
			t.Errorf("%s, and then %s", a, b)
		}
		time.Sleep(2 * linger)
		if p.mu.Lock(); !p.over {
			t.Error("the connection is still there")
		}
		p.mu.Unlock()
	})
	// Requests that go on are not cut off, and one that was broken off before its answer ends the connection all the same.
	play(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			time.Sleep(time.Minute)
			return
		}
		<-r.Context().Done()
		hasty(w, r)
	}), func(p *tape) {
		p.begin()
		p.ask(1, true, "GET", "/hold")
		p.ask(3, true, "GET", "/?close")
		p.cancel(3)
		if got := p.goAways(); len(got) != 1 {
			t.Errorf("GOAWAY %v", got)
		}
		time.Sleep(2 * time.Minute)
		if got := p.outcome(1); got != "answer 200" {
			t.Error(got)
		}
	})
}
