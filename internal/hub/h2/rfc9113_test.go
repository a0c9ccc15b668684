package h2

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// reader reads what it is sent and answers; at /hold it waits until the client has gone.
var reader = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/hold") {
		<-r.Context().Done()
		return
	}
	io.Copy(io.Discard, r.Body) //nolint:errcheck // whatever comes
})

// What RFC 9113 says of frames that come when or where they may not, with the sections that say it.
func TestRFC9113(t *testing.T) {
	const at = 9 // the stream whose outcome counts, unless it is another
	type row struct {
		name, want string
		id         uint32
		do         func(p *tape)
	}
	done := func(p *tape) { p.get(1) }                                               // stream 1 is closed by both sides
	gone := func(p *tape) { p.ask(1, true, "GET", "/hold"); p.cancel(1) }            // by the client
	cut := func(p *tape) { p.post(1, "content-length", "5", "content-length", "6") } // by us
	held := func(p *tape) { p.ask(1, true, "GET", "/hold") }                         // half closed (remote)
	open := func(p *tape) { p.ask(1, false, "POST", "/hold") }                       // open
	then := func(first, second func(p *tape)) func(p *tape) {
		return func(p *tape) { first(p); second(p); p.get(at) }
	}
	rows := []row{
		{"5.1 idle: data", "goaway PROTOCOL_ERROR", 1, func(p *tape) { p.data(1, 1, true) }},
		{"5.1 idle: reset", "goaway PROTOCOL_ERROR", 1, func(p *tape) { p.cancel(1) }},
		{"5.1 idle: window", "goaway PROTOCOL_ERROR", 1, func(p *tape) { p.do(p.fr.WriteWindowUpdate(1, 1)) }},
		{"5.1 idle: continuation", "goaway PROTOCOL_ERROR", 1, func(p *tape) { p.do(p.fr.WriteContinuation(1, true, p.fields("a", "b"))) }},
		{"5.1 idle: priority", "answer 200", at, then(func(p *tape) {}, func(p *tape) { p.priority(1, 0) })},
		{"5.1 even: data", "goaway PROTOCOL_ERROR", 2, then(done, func(p *tape) { p.data(2, 1, true) })},
		{"5.1 even: reset", "goaway PROTOCOL_ERROR", 2, then(func(p *tape) { p.get(3) }, func(p *tape) { p.cancel(2) })},
		{"5.1 even: window", "goaway PROTOCOL_ERROR", 2, then(func(p *tape) { p.get(3) }, func(p *tape) { p.do(p.fr.WriteWindowUpdate(2, 1)) })},
		{"5.1 half closed: data", "reset STREAM_CLOSED", 1, then(held, func(p *tape) { p.data(1, 1, true) })},
		{"5.1 half closed: headers", "reset STREAM_CLOSED", 1, then(held, func(p *tape) { p.headers(1, true, "a", "b") })},
		{"5.1 half closed: the connection goes on", "answer 200", at, then(held, func(p *tape) { p.data(1, 1, true) })},
		{"5.1 half closed: window, priority", "nothing", 1, then(held, func(p *tape) { p.do(p.fr.WriteWindowUpdate(1, 1)); p.priority(1, 0) })},
		{"5.1 closed: data", "answer 200, reset STREAM_CLOSED", 1, then(done, func(p *tape) { p.data(1, 1, true) })},
		{"5.1 closed: headers", "goaway STREAM_CLOSED", 1, then(done, func(p *tape) { p.headers(1, true, "a", "b") })},
		{"5.1 closed: a request", "goaway STREAM_CLOSED", 1, then(done, func(p *tape) { p.get(1) })},
		{"5.1 closed: window, reset, priority", "answer 200", at, then(done, func(p *tape) { p.do(p.fr.WriteWindowUpdate(1, 1)); p.cancel(1); p.priority(1, 0) })},
		{"5.1 closed by the client: data", "reset STREAM_CLOSED", 1, then(gone, func(p *tape) { p.data(1, 1, true) })},
		{"5.1 closed by the client: headers", "goaway STREAM_CLOSED", 1, then(gone, func(p *tape) { p.headers(1, true, "a", "b") })},
		{"5.1 broken off by us: what is on its way", "answer 200", at, then(cut, func(p *tape) { p.data(1, 5, false); p.headers(1, true, "a", "b") })},
		{"5.1.1 smaller stream", "goaway PROTOCOL_ERROR", 3, then(func(p *tape) { p.get(5) }, func(p *tape) { p.get(3) })},
		{"5.1.1 even stream", "goaway PROTOCOL_ERROR", 2, func(p *tape) { p.get(2) }},
		{"5.1.1 even stream, malformed", "goaway PROTOCOL_ERROR", 2, func(p *tape) { p.get(2, "Upper", "x") }},
		{"5.3.1 headers: depends on itself", "reset PROTOCOL_ERROR", 1, func(p *tape) {
			p.do(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, Priority: http2.PriorityParam{StreamDep: 1},
				BlockFragment: p.fields(":method", "GET", ":path", "/", ":scheme", "https")}))
		}},
		{"5.3.1 priority: depends on itself", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.priority(1, 1) }},
		{"5.3.1 priority: the stream may be opened all the same", "reset PROTOCOL_ERROR", at, func(p *tape) { p.priority(at, at) }},
		{"6.1 data on the connection", "goaway PROTOCOL_ERROR", 1, then(open, func(p *tape) { p.data(0, 1, false) })},
		{"6.2 frames inside a block", "goaway PROTOCOL_ERROR", 1, func(p *tape) {
			p.do(p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields(":method", "GET")}))
			p.do(p.fr.WritePing(false, [8]byte{}))
		}},
		{"6.5 settings on a stream", "goaway PROTOCOL_ERROR", 1, func(p *tape) { p.do(p.fr.WriteRawFrame(http2.FrameSettings, 0, 1, nil)) }},
		{"6.5 ack with payload", "goaway FRAME_SIZE_ERROR", 1, func(p *tape) {
			p.do(p.fr.WriteRawFrame(http2.FrameSettings, http2.FlagSettingsAck, 0, make([]byte, 6)))
		}},
		{"6.5.2 push", "goaway PROTOCOL_ERROR", 1, func(p *tape) { p.do(p.fr.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 2})) }},
		{"6.7 short ping", "goaway FRAME_SIZE_ERROR", 1, func(p *tape) { p.do(p.fr.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7))) }},
		{"6.9 window of nothing", "reset PROTOCOL_ERROR", 1, then(open, func(p *tape) { p.do(p.fr.WriteWindowUpdate(1, 0)) })},
		{"6.9.1 window of a stream overflows", "reset FLOW_CONTROL_ERROR", 1, then(open, func(p *tape) { p.do(p.fr.WriteWindowUpdate(1, maxWindow)) })},
		{"8.1 body shorter than it says", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.post(1, "content-length", "5"); p.data(1, 4, true) }},
		{"8.1 body longer than it says", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.post(1, "content-length", "5"); p.data(1, 6, true) }},
		{"8.1 body of a length of two minds", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.post(1, "content-length", "5", "content-length", "6") }},
		{"8.1 trailers that do not end", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.post(1); p.headers(1, false, "a", "b") }},
		{"8.1 trailers with a pseudo field", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.post(1); p.headers(1, true, ":path", "/") }},
		{"8.1 trailers", "answer 200", 1, func(p *tape) { p.post(1); p.data(1, 3, false); p.headers(1, true, "a", "b") }},
		{"8.2.2 te: trailers", "answer 200", 1, func(p *tape) { p.get(1, "te", "trailers") }},
		{"8.2.2 in trailers", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.post(1); p.headers(1, true, "connection", "close") }},
		{"8.3.1 no method", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.headers(1, true, ":path", "/", ":scheme", "https") }},
		{"8.3.1 two methods", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.get(1, ":method", "GET") }},
		{"8.3.1 empty path", "reset PROTOCOL_ERROR", 1, func(p *tape) { p.ask(1, true, "GET", "") }},
		{"8.3.1 a response's field", "reset PROTOCOL_ERROR", 1, func(p *tape) {
			p.headers(1, true, ":status", "200", ":method", "GET", ":path", "/", ":scheme", "https")
		}},
	}
	for field, value := range map[string]string{
		"connection": "close", "proxy-connection": "keep-alive", "keep-alive": "timeout=5", "transfer-encoding": "chunked", "upgrade": "websocket", "te": "gzip",
	} {
		rows = append(rows, row{"8.2.2 " + field, "reset PROTOCOL_ERROR", 1, func(p *tape) { p.get(1, field, value) }})
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			against(t, reader, r.id, r.want, func(p *tape) { p.begin(); r.do(p) })
		})
	}
}

func (p *tape) cancel(id uint32) { p.do(p.fr.WriteRSTStream(id, http2.ErrCodeCancel)) }

func (p *tape) priority(id, on uint32) {
	p.do(p.fr.WritePriority(id, http2.PriorityParam{StreamDep: on}))
}
