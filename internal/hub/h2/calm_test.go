package h2

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// Whatever costs a client nothing and us something may be done in bursts and for long, but not without end.
func TestFloods(t *testing.T) {
	ids := func(n int) uint32 { return uint32(2*n + 1) }
	for _, row := range []struct {
		name  string
		burst int // that is taken
		one   func(p *tape, n int) error
	}{
		{"ping", trifles / 2, func(p *tape, n int) error { return p.fr.WritePing(false, [8]byte{}) }},
		{"answers to pings that were none", trifles / 2, func(p *tape, n int) error { return p.fr.WritePing(true, [8]byte{}) }},
		{"settings", trifles / 4, func(p *tape, n int) error {
			return p.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(n)})
		}},
		{"many settings in one frame", 1, func(p *tape, n int) error { return p.fr.WriteSettings(make([]http2.Setting, trifles/2)...) }},
		{"answers to settings", trifles / 2, func(p *tape, n int) error { return p.fr.WriteSettingsAck() }},
		{"priority", trifles / 2, func(p *tape, n int) error { return p.fr.WritePriority(ids(n), http2.PriorityParam{}) }},
		{"window updates", trifles / 2, func(p *tape, n int) error { return p.fr.WriteWindowUpdate(0, 1) }},
		{"unknown frames", trifles / 2, func(p *tape, n int) error { return p.fr.WriteRawFrame(0xfa, 0, 0, nil) }},
		{"goaway", trifles / 2, func(p *tape, n int) error { return p.fr.WriteGoAway(0, 0, nil) }},
		{"empty data", trifles / 2, func(p *tape, n int) error {
			if n == 0 {
				p.ask(1, false, "POST", "/hold")
			}
			return p.fr.WriteData(1, false, nil)
		}},
		{"empty data with padding", trifles / 2, func(p *tape, n int) error {
			if n == 0 {
				p.ask(1, false, "POST", "/hold")
			}
			return p.fr.WriteDataPadded(1, false, nil, make([]byte, 8))
		}},
		{"data of closed streams", trifles / 4, func(p *tape, n int) error {
			if n == 0 {
				p.get(1)
			}
			return p.fr.WriteData(1, true, nil)
		}},
		{"requests that are none", trifles / 4, func(p *tape, n int) error {
			return p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: ids(n), BlockFragment: p.fields("a", "b"), EndHeaders: true, EndStream: true})
		}},
		{"requests over the limit", trifles / 4, func(p *tape, n int) error {
			return p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: ids(n), EndHeaders: true, EndStream: true,
				BlockFragment: p.fields(":method", "GET", ":path", "/hold", ":scheme", "https")})
		}},
		{"requests broken off", cancels / 2, func(p *tape, n int) error {
			p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: ids(n), EndHeaders: true, EndStream: true, //nolint:errcheck // the next one tells
				BlockFragment: p.fields(":method", "GET", ":path", "/hold", ":scheme", "https")})
			return p.fr.WriteRSTStream(ids(n), http2.ErrCodeCancel)
		}},
		{"a header block in empty frames", blockFrames / 2, func(p *tape, n int) error {
			if n == 0 {
				return p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields(":method", "GET")})
			}
			return p.fr.WriteContinuation(1, false, nil)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			play(t, true, reader, func(p *tape) {
				p.begin()
				for n := range row.burst {
					if err := row.one(p, n); err != nil {
						t.Errorf("after %d: %v", n, err)
						return
					}
					if n%64 == 0 {
						synctest.Wait() // handlers that are behind are a reason of their own
					}
				}
				synctest.Wait()
				if got := p.goAways(); len(got) > 0 {
					t.Errorf("after %d: GOAWAY %v", row.burst, got)
					return
				}
				for n := row.burst; ; n++ {
					if n > 3*trifles {
						t.Error("no end")
						break
					}
					if row.one(p, n) != nil {
						break
					}
					if n%64 == 0 {
						synctest.Wait()
						if len(p.goAways()) > 0 {
							break
						}
					}
				}
				synctest.Wait()
				if got := p.outcome(0); got != "goaway ENHANCE_YOUR_CALM" {
					t.Error(got)
				}
			})
		})
	}
}

// The same over a time that makes it little is nobody's business.
func TestWhatIsNoFlood(t *testing.T) {
	play(t, true, reader, func(p *tape) {
		p.begin()
		for n := range 3 * trifles {
			p.fr.WritePing(false, [8]byte{}) //nolint:errcheck // the request at the end tells
			if n%100 == 0 {
				time.Sleep(200 * time.Millisecond)
			}
		}
		for n := range 3 * cancels {
			id := uint32(2*n + 1)
			p.ask(id, true, "GET", "/hold")
			p.cancel(id)
			time.Sleep(2 * cancelEvery)
		}
		p.get(1e6 + 1)
		if got := p.outcome(1e6 + 1); got != "answer 200" {
			t.Error(got)
		}
	})
}

// A client that takes a large answer in small pieces tells of each; that is not held against it.
func TestWindowUpdatesThatAnswersNeed(t *testing.T) {
	const size = 32 << 20
	play(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range size / (32 << 10) {
			w.Write(make([]byte, 32<<10)) //nolint:errcheck // the outcome tells
		}
	}), func(p *tape) {
		p.begin()
		p.get(1)
		for range size / (4 << 10) { // as Go's client, on the stream and on the connection
			p.fr.WriteWindowUpdate(1, 4<<10) //nolint:errcheck // the outcome tells
			p.fr.WriteWindowUpdate(0, 4<<10) //nolint:errcheck // as above
		}
		synctest.Wait()
		if got := p.outcome(1); got != "answer 200" {
			t.Error(got)
		}
	})
}

// A header block that never ends, and whose frames are not many, ends with the client's silence.
func TestHeadersInDrops(t *testing.T) {
	play(t, true, reader, func(p *tape) {
		p.begin()
		p.do(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields(":method", "GET")}))
		began := time.Now()
		for p.fr.WriteContinuation(1, false, p.fields("a", strings.Repeat("x", 10))) == nil {
			time.Sleep(5 * time.Second)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it was let go on for %v", took)
		}
	})
}
