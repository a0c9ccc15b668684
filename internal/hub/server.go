package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/hub/h2"
)

const (
	shutdownGrace  = 10 * time.Second // for requests that are under way
	handshakeIn    = 32 * time.Second // and for the headers of a request
	idleAfter      = 90 * time.Second
	maxStreams     = 100 // of one HTTP/2 connection; clients open another when they need more
	maxHeaderBytes = 1 << 20
)

// Handler serves the API; it is what the listener serves too.
func (h *Hub) Handler() http.Handler { return h }

// listen serves HTTPS until ctx ends, then lets what is under way finish for a moment.
func (h *Hub) listen(ctx context.Context) error {
	cfg := h.cfg.TLS.Clone()
	if len(cfg.NextProtos) == 0 {
		cfg.NextProtos = []string{"h2", "http/1.1"}
	}
	// Records of full size from the start: the small ones that Go begins with help browsers over slow links.
	cfg.DynamicRecordSizingDisabled = true
	// Requests outlive ctx by the shutdown's grace; watches do not, see Hub.stopping.
	base := context.WithoutCancel(ctx)
	var onlyHTTP1 http.Protocols
	onlyHTTP1.SetHTTP1(true)
	d := &doorman{
		tls: cfg, log: h.log,
		two: &h2.Server{
			Handler: h, Log: h.log, BaseContext: base, MaxStreams: maxStreams, MaxHeaderBytes: maxHeaderBytes, Idle: idleAfter,
			PingAfter: 30 * time.Second, PingTimeout: 15 * time.Second,
		},
		one: &http.Server{
			Handler: upright{h}, MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: handshakeIn, IdleTimeout: idleAfter, Protocols: &onlyHTTP1,
			ErrorLog:    log.New(serverLog{h.log}, "", 0),
			BaseContext: func(net.Listener) context.Context { return base },
		},
		plain: &handover{from: h.cfg.Listener, conns: make(chan net.Conn), closed: make(chan struct{})},
	}
	done := make(chan error, 1)
	go func() { done <- d.serve(ctx, h.cfg.Listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("hub: serve %s: %w", h.cfg.Listener.Addr(), err)
	case <-ctx.Done():
	}
	h.checks.shutdown.fail(errors.New("process is shutting down"))
	h.stop()
	h.cfg.Listener.Close()
	grace, cancel := context.WithTimeout(base, shutdownGrace)
	defer cancel()
	d.shutdown(grace)
	<-done
	return nil
}

// doorman takes connections, shakes hands, and brings each to the server that speaks its protocol.
type doorman struct {
	tls   *tls.Config
	log   *slog.Logger
	one   *http.Server
	two   *h2.Server
	plain *handover // to one
	conns sync.WaitGroup
}

// serve returns when the listener has been closed or fails for good, and every connection has ended. With ctx end those that
// have not shaken hands yet.
func (d *doorman) serve(ctx context.Context, l net.Listener) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.one.Serve(d.plain) //nolint:errcheck // it ends with the handover
	}()
	defer func() {
		d.plain.Close()
		<-ended
		d.conns.Wait()
	}()
	var wait time.Duration
	for {
		c, err := l.Accept()
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Temporary() { //nolint:errorlint,staticcheck // out of file descriptors: as net/http does
				wait = min(max(2*wait, 5*time.Millisecond), time.Second)
				d.log.Warn("connection not accepted", "error", err)
				time.Sleep(wait)
				continue
			}
			return err
		}
		wait = 0
		d.conns.Go(func() { d.welcome(ctx, c) })
	}
}

func (d *doorman) welcome(ctx context.Context, c net.Conn) {
	boundUnsent(c)
	tc := tls.Server(h2.Wrap(c), d.tls)
	ctx, cancel := context.WithTimeout(ctx, handshakeIn)
	err := tc.HandshakeContext(ctx)
	cancel()
	if err != nil {
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) && plain.Conn != nil && looksLikeHTTP(plain.RecordHeader[:]) {
			io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n") //nolint:errcheck // a courtesy
		}
		d.log.Debug("handshake failed", "remote", c.RemoteAddr().String(), "error", err)
		c.Close()
		return
	}
	if tc.ConnectionState().NegotiatedProtocol == "h2" {
		d.two.Serve(tc)
		return
	}
	d.plain.give(tc)
}

// looksLikeHTTP reports whether the first bytes of a connection are those of a request in the clear.
func looksLikeHTTP(b []byte) bool {
	switch string(b) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO":
		return true
	}
	return false
}

func (d *doorman) shutdown(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() {
		if d.one.Shutdown(ctx) != nil {
			d.one.Close()
		}
	})
	both.Go(func() { d.two.Shutdown(ctx) }) //nolint:errcheck // it has broken what did not end in time
	both.Wait()
}

// handover is a listener whose connections are given to it.
type handover struct {
	from   net.Listener
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (o *handover) give(c net.Conn) {
	select {
	case o.conns <- c:
	case <-o.closed:
		c.Close()
	}
}

// Accept implements net.Listener.
func (o *handover) Accept() (net.Conn, error) {
	select {
	case c := <-o.conns:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (o *handover) Close() error {
	o.once.Do(func() { close(o.closed) })
	return nil
}

// Addr implements net.Listener.
func (o *handover) Addr() net.Addr { return o.from.Addr() }

// serverLog keeps net/http's complaints about clients (handshakes that fail, connections that break) out of sight.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Write(p []byte) (int, error) {
	l.log.Debug("connection", "message", strings.TrimSpace(string(p)))
	return len(p), nil
}
