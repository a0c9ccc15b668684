package h2

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// A fuzzed connection is a script of frames, two bytes each: what to say, and of which stream. What is left when a byte says
// so goes out as it is. The same script is played to net/http's server, which tells what must not pass.

var fuzzIDs = []uint32{1, 3, 5, 7, 2, 0, 9, 1<<31 - 1}

// fuzzFields are header blocks: the first ones are requests.
var fuzzFields = [][]string{
	{":method", "GET", ":path", "/", ":scheme", "https", ":authority", "a"},
	{":method", "POST", ":path", "/", ":scheme", "https", "content-length", "3"},
	{":method", "GET", ":path", "/hold", ":scheme", "https", "cookie", "a=b", "cookie", "c=d"},
	{":method", "POST", ":path", "/", ":scheme", "https", "expect", "100-continue"},
	{"a", "b"},
	{":method", "GET", ":path", "/", ":scheme", "https", "connection", "close"},
	{":method", "GET", ":path", "/", ":scheme", "https", "te", "gzip"},
	{":method", "GET", ":path", "x", ":scheme", "https"},
	{":path", "/"},
	{":method", "POST", ":path", "/", ":scheme", "ftp", "trailer", "sum"},
	{":method", "CONNECT", ":authority", "a:1"},
	{"a", "b", ":method", "GET"},
}

// say plays one step; it returns what is left of the script.
func (p *tape) say(s []byte) []byte {
	what, id, arg := s[0], fuzzIDs[int(s[1]&7)], s[1]>>3
	end := what&16 != 0
	switch what & 15 {
	case 0, 1, 2:
		p.headers(id, end, fuzzFields[int(arg)%len(fuzzFields)]...)
	case 3:
		p.data(id, int(arg), end)
	case 4:
		p.data(id, int(arg)<<10, end)
	case 5:
		p.do(p.fr.WriteDataPadded(id, end, make([]byte, arg), make([]byte, what)))
	case 6:
		p.cancel(id)
	case 7:
		p.do(p.fr.WriteWindowUpdate(id, uint32(arg)<<26|uint32(what>>5)))
	case 8:
		p.do(p.fr.WriteSettings(http2.Setting{ID: http2.SettingID(what >> 5), Val: uint32(arg) << (what >> 4 & 1 * 26)}))
	case 9:
		p.do(p.fr.WritePing(end, [8]byte{what}))
	case 10:
		p.priority(id, fuzzIDs[arg&7])
	case 11:
		p.do(p.fr.WriteGoAway(id, http2.ErrCode(arg), nil))
	case 12:
		p.do(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.fields(fuzzFields[int(arg)%len(fuzzFields)]...), EndStream: end}))
	case 13:
		p.do(p.fr.WriteContinuation(id, end, p.fields("c", fmt.Sprint(arg))))
	case 14:
		n := min(int(arg), len(s)-2)
		p.do(p.fr.WriteRawFrame(http2.FrameType(what>>4), http2.Flags(arg), id, s[2:2+n]))
		return s[2+n:]
	case 15:
		p.c.Write(s[2:]) //nolint:errcheck // the outcome tells
		synctest.Wait()
		return nil
	}
	return s[2:]
}

// bounded checks that a client has made the server keep no more than it may.
func bounded(t *testing.T, s *Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.mu.conns {
		c.mu.Lock()
		held := 0
		for _, st := range c.mu.streams {
			st.body.mu.Lock()
			held += len(st.body.buf)
			st.body.mu.Unlock()
		}
		if len(c.mu.out) > sendFlood+sendFull || len(c.mu.streams) > s.maxStreams() || c.mu.running > 4*s.maxStreams() || held > recvConn || c.mu.received > recvConn {
			t.Errorf("%d bytes to send, %d streams, %d handlers, %d bytes of bodies, a window of %d", len(c.mu.out), len(c.mu.streams), c.mu.running, held, c.mu.received)
		}
		c.mu.Unlock()
	}
}

func FuzzConnection(f *testing.F) {
	f.Add([]byte{16, 0})                                      // a request
	f.Add([]byte{0, 8, 3, 3 << 3, 19, 0})                     // one with a body that is too long
	f.Add([]byte{16, 0, 19, 0, 16, 0})                        // frames on a stream that is closed
	f.Add([]byte{16, 16, 6, 0, 16, 4 << 3, 3, 8})             // broken off
	f.Add([]byte{12, 0, 13, 8, 29, 8})                        // a block in pieces
	f.Add([]byte{16, 1, 16, 0, 10, 0, 7, 0, 11, 5, 16, 2})    // numbers that go back
	f.Add([]byte("\x0f\x00PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) // anything else
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 200 {
			return
		}
		var got [2]map[uint32]string
		for i := range got {
			got[i] = map[uint32]string{}
			play(t, i == 0, reader, func(p *tape) {
				p.begin()
				for rest := script; len(rest) > 1; {
					rest = p.say(rest)
				}
				for _, id := range fuzzIDs {
					got[i][id] = p.outcome(id)
				}
				if p.srv != nil {
					bounded(t, p.srv)
				}
			})
		}
		for _, id := range fuzzIDs {
			ours, theirs := got[0][id], got[1][id]
			if strict(ours) < strict(theirs) || strict(ours) == 0 && strings.HasPrefix(theirs, "answer") && !strings.HasPrefix(ours, "answer") {
				t.Errorf("stream %d: %s; net/http: %s\nall: %v\n%v", id, ours, theirs, got[0], got[1])
			}
		}
	})
}
