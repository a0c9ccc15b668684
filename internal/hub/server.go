package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	shutdownGrace  = 10 * time.Second // for requests that are under way
	maxStreams     = 100              // of one HTTP/2 connection; clients open another when they need more
	streamBuffer   = 256 << 10        // most request bodies fit into one frame (upstream's figure)
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
	srv := &http.Server{
		Handler: h, TLSConfig: cfg, MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: 32 * time.Second, IdleTimeout: 90 * time.Second,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: streamBuffer, MaxReceiveBufferPerStream: streamBuffer,
			MaxReceiveBufferPerConnection: streamBuffer * maxStreams, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second,
		},
		ErrorLog: log.New(serverLog{h.log}, "", 0),
		// Requests outlive ctx by the shutdown's grace; watches do not, see Hub.stopping.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(tls.NewListener(h.cfg.Listener, cfg)) }()
	select {
	case err := <-done:
		return fmt.Errorf("hub: serve %s: %w", h.cfg.Listener.Addr(), err)
	case <-ctx.Done():
	}
	h.checks.shutdown.fail(errors.New("process is shutting down"))
	h.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close()
	}
	<-done
	return nil
}

// serverLog keeps net/http's complaints about clients (handshakes that fail, connections that break) out of sight.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Write(p []byte) (int, error) {
	l.log.Debug("connection", "message", strings.TrimSpace(string(p)))
	return len(p), nil
}
