package stream

import (
	"net/http"
	"net/http/httputil"
	"net/url"

	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// Hop is where a session goes next.
type Hop struct {
	URL *url.URL
	// Transport reaches it. It must not speak HTTP/2, which knows no upgrade; see NewTransport.
	Transport *http.Transport
	// Header is added to the request, over what the client sent; may be nil.
	Header http.Header
}

// Options says which streams of an exec or attach session are open.
type Options struct{ Stdin, Stdout, Stderr, TTY bool }

// Fail answers a request that could not be carried out. It is called only while nothing has been written.
type Fail func(w http.ResponseWriter, r *http.Request, err error)

// Exec serves an exec or attach session.
func Exec(w http.ResponseWriter, r *http.Request, to Hop, opts Options, fail Fail) {
	switch {
	case !IsUpgrade(r):
		fail(w, r, errUpgradeRequired)
	case wsstream.IsWebSocketRequestWithStreamCloseProtocol(r):
		translate(w, r, to, opts)
	default:
		pass(w, r, to, fail)
	}
}

// PortForward serves a port-forward session.
func PortForward(w http.ResponseWriter, r *http.Request, to Hop, fail Fail) {
	switch {
	case !IsUpgrade(r):
		fail(w, r, errUpgradeRequired)
	case wsstream.IsWebSocketRequestWithTunnelingProtocol(r):
		tunnel(w, r, to, fail)
	default:
		pass(w, r, to, fail)
	}
}

// IsUpgrade tells whether a request asks for another protocol on its connection.
func IsUpgrade(r *http.Request) bool { return httpstream.IsUpgradeRequest(r) }

// pass hands a request and, when the next hop upgrades, the connection through as they are.
func pass(w http.ResponseWriter, r *http.Request, to Hop, fail Fail) {
	p := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL, pr.Out.Host = to.URL, to.URL.Host
			clean(pr.Out.Header)
			addTo(pr.Out.Header, to.Header)
		},
		Transport:     to.Transport,
		FlushInterval: -1,
		ErrorHandler:  fail,
	}
	p.ServeHTTP(w, r)
}

// clean takes out what was between the client and us only.
func clean(h http.Header) {
	h.Del("Authorization")
	for k := range h {
		if len(k) > 12 && k[:12] == "Impersonate-" {
			h.Del(k)
		}
	}
}

func addTo(h, more http.Header) {
	for k, v := range more {
		h[k] = v
	}
}
