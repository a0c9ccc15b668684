package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/stream"
)

// Config of a node's server.
type Config struct {
	NodeName     string
	Listen       string // "0.0.0.0:10250"; "" for none
	HealthListen string // "127.0.0.1:10248"; "" for none
	// ReadOnlyListen is where pods, figures and health are told to everybody, without TLS: "0.0.0.0:10255"; "" for none.
	ReadOnlyListen string
	// GetCertificate is what it shows; it may change while the server runs.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	ClientCA       *x509.CertPool // whose certificates it takes
	Door           client.Writer  // the node's own; asks for token and access reviews. nil: Alone decides
	Alone          Alone
	Host           Host
	Metrics        Metrics
	Pages          map[string]http.Handler // of the component, by path: /flagz, /statusz
	LogDir         string                  // served below /logs/; "" means /var/log
	Log            *slog.Logger
}

// Server is what the kubelet serves: its HTTPS face, and those that need no credentials.
type Server struct {
	cfg    Config
	log    *slog.Logger
	auth   *gate
	runner *http.Transport // to the runtime's streaming server
	end    context.Context // of Run; logs that are followed end with it
}

// New makes a server; it listens in Run.
func New(cfg Config) *Server {
	if cfg.LogDir == "" {
		cfg.LogDir = "/var/log"
	}
	return &Server{cfg: cfg, log: cfg.Log.With("component", "serve"), auth: newGate(&cfg),
		runner: stream.NewTransport(nil, nil), end: context.Background()}
}

// face is one of the server's listeners and what is served there.
type face struct {
	l      net.Listener
	secure bool
	http.Handler
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	var faces []face
	for _, want := range []struct {
		what, at string
		secure   bool
		handler  func() http.Handler
	}{
		{"server", s.cfg.Listen, true, s.Handler},
		{"health server", s.cfg.HealthListen, false, s.health},
		{"read-only server", s.cfg.ReadOnlyListen, false, s.readOnly},
	} {
		if want.at == "" {
			continue
		}
		l, err := net.Listen("tcp", want.at)
		if err != nil {
			for _, f := range faces {
				f.l.Close()
			}
			return fmt.Errorf("kubelet %s: %w", want.what, err)
		}
		faces = append(faces, face{l, want.secure, want.handler()})
	}
	return s.serve(ctx, faces)
}

// Serve is Run on listeners that are open already. health may be nil.
func (s *Server) Serve(ctx context.Context, l, health net.Listener) error {
	faces := []face{{l, true, s.Handler()}}
	if health != nil {
		faces = append(faces, face{health, false, s.health()})
	}
	return s.serve(ctx, faces)
}

func (s *Server) serve(ctx context.Context, faces []face) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.end = ctx
	var wg sync.WaitGroup
	var servers []*http.Server
	failed := make(chan error, len(faces))
	for _, f := range faces {
		srv := &http.Server{Handler: f.Handler, TLSConfig: s.tls(), ReadHeaderTimeout: 30 * time.Second,
			IdleTimeout: 90 * time.Second, MaxHeaderBytes: 1 << 20, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
		servers = append(servers, srv)
		wg.Go(func() {
			if f.secure {
				failed <- srv.ServeTLS(f.l, "", "")
				return
			}
			failed <- srv.Serve(f.l)
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	for _, srv := range servers {
		_ = srv.Close()
	}
	wg.Wait()
	s.runner.CloseIdleConnections()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// tls asks for client certificates without requiring them: tokens are the other way in, and verification is authentication's.
func (s *Server) tls() *tls.Config {
	return &tls.Config{GetCertificate: s.cfg.GetCertificate, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
}
