package stream

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
	protocol "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// tunnel serves a client that sends its SPDY connection through a WebSocket: the next hop gets the SPDY connection.
func tunnel(w http.ResponseWriter, r *http.Request, to Hop, fail Fail) {
	req, err := tunnelRequest(r, to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	resp, err := to.Transport.RoundTrip(req)
	if err != nil {
		fail(w, r, err)
		return
	}
	defer resp.Body.Close()
	back, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		for k, v := range resp.Header { // what the next hop says is the answer
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		return
	}
	if !strings.EqualFold(resp.Header.Get(httpstream.HeaderUpgrade), spdy.HeaderSpdy31) {
		fail(w, r, fmt.Errorf("unable to upgrade: missing upgrade headers in response"))
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	if p := strings.TrimSpace(resp.Header.Get(httpstream.HeaderProtocolVersion)); p != "" {
		up.Subprotocols = []string{protocol.WebsocketsSPDYTunnelingPrefix + p}
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // the library has answered
	}
	splice(portforward.NewTunnelingConnection("server", ws), back)
}

// tunnelRequest is the SPDY request that the client's WebSocket request stands for.
func tunnelRequest(r *http.Request, to Hop) (*http.Request, error) {
	req := r.Clone(r.Context())
	var protocols []string
	for _, p := range websocket.Subprotocols(r) {
		if s, ok := strings.CutPrefix(p, protocol.WebsocketsSPDYTunnelingPrefix); ok && strings.HasSuffix(p, protocol.KubernetesSuffix) {
			protocols = append(protocols, s)
		}
	}
	if len(protocols) == 0 {
		return nil, fmt.Errorf("unable to upgrade: no tunneling spdy protocols provided")
	}
	for k := range req.Header {
		if strings.HasPrefix(k, "Sec-Websocket-") {
			req.Header.Del(k)
		}
	}
	clean(req.Header)
	req.Method, req.URL, req.Host, req.RequestURI = http.MethodPost, to.URL, to.URL.Host, ""
	req.Body, req.ContentLength = nil, 0
	req.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	req.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	req.Header[http.CanonicalHeaderKey(httpstream.HeaderProtocolVersion)] = slices.Clone(protocols)
	addTo(req.Header, to.Header)
	return req, nil
}

// splice copies both ways until either end is done, and closes both.
func splice(a, b io.ReadWriteCloser) {
	var wg sync.WaitGroup
	var once sync.Once
	done := func() { once.Do(func() { _ = a.Close(); _ = b.Close() }) }
	one := func(dst io.Writer, src io.Reader) {
		defer done()
		_, _ = io.Copy(dst, src)
	}
	wg.Go(func() { one(a, b) })
	wg.Go(func() { one(b, a) })
	wg.Wait()
}
