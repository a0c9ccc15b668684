package listener

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
	"sync"
	"time"

	"sampan.dev/internal/hub/h2"
)

// HandshakeIn is how long a client may take for the TLS handshake, and for the headers of a request.
const HandshakeIn = 32 * time.Second

const (
	shutdownGrace  = 10 * time.Second // for requests that are under way
	idleAfter      = 90 * time.Second
	maxStreams     = 100 // of one HTTP/2 connection; clients open another when they need more
	maxHeaderBytes = 1 << 20
)

// Config says what is served where.
type Config struct {
	Listener net.Listener // Serve closes it
	TLS      *tls.Config
	Handler  http.Handler
	Log      *slog.Logger

	// Ending is called when Serve's context has ended, before anything is shut: watches are to end, and /readyz is to fail.
	Ending func()
}

// Serve serves HTTPS until ctx ends, then lets the requests under way finish for a moment.
func Serve(ctx context.Context, cfg Config) error {
	conf := cfg.TLS.Clone()
	if len(conf.NextProtos) == 0 {
		conf.NextProtos = []string{"h2", "http/1.1"}
	}
	// Records of full size from the start: the small ones that Go begins with help browsers over slow links.
	conf.DynamicRecordSizingDisabled = true
	// Requests outlive ctx by the shutdown's grace; watches do not, see Ending.
	base := context.WithoutCancel(ctx)
	d := newDoorman(cfg, conf, base)
	done := make(chan error, 1)
	go func() { done <- d.serve(ctx, cfg.Listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("hub: serve %s: %w", cfg.Listener.Addr(), err)
	case <-ctx.Done():
	}
	cfg.Ending()
	cfg.Listener.Close()
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

// newDoorman makes one whose requests have base as their context.
func newDoorman(cfg Config, conf *tls.Config, base context.Context) *doorman {
	var onlyHTTP1 http.Protocols
	onlyHTTP1.SetHTTP1(true)
	return &doorman{
		tls: conf, log: cfg.Log,
		two: &h2.Server{
			Handler: cfg.Handler, Log: cfg.Log, BaseContext: base, MaxStreams: maxStreams, MaxHeaderBytes: maxHeaderBytes, Idle: idleAfter,
			PingAfter: 30 * time.Second, PingTimeout: 15 * time.Second,
		},
		one: &http.Server{
			Handler: upright{cfg.Handler}, MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: HandshakeIn, IdleTimeout: idleAfter, Protocols: &onlyHTTP1,
			ErrorLog:    log.New(serverLog{cfg.Log}, "", 0),
			BaseContext: func(net.Listener) context.Context { return base },
		},
		plain: &handover{from: cfg.Listener, conns: make(chan net.Conn), closed: make(chan struct{})},
	}
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
	ctx, cancel := context.WithTimeout(ctx, HandshakeIn)
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
