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
	Listen       string // "0.0.0.0:10250"
	HealthListen string // "127.0.0.1:10248"; "" for none
	// GetCertificate is what it shows; it may change while the server runs.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	ClientCA       *x509.CertPool // whose certificates it takes
	Door           client.Writer  // the node's own; asks for token and access reviews
	Host           Host
	Metrics        Metrics
	LogDir         string // served below /logs/; "" means /var/log
	Log            *slog.Logger
}

// Server is the kubelet's HTTPS face.
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
	return &Server{cfg: cfg, log: cfg.Log.With("component", "serve"), auth: newGate(cfg.NodeName, cfg.Door, cfg.ClientCA),
		runner: stream.NewTransport(nil, nil), end: context.Background()}
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	l, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("kubelet server: %w", err)
	}
	var health net.Listener
	if s.cfg.HealthListen != "" {
		if health, err = net.Listen("tcp", s.cfg.HealthListen); err != nil {
			l.Close()
			return fmt.Errorf("kubelet health server: %w", err)
		}
	}
	return s.Serve(ctx, l, health)
}

// Serve is Run on listeners that are open already. health may be nil.
func (s *Server) Serve(ctx context.Context, l, health net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.end = ctx
	servers := []*http.Server{{Handler: s.Handler(), TLSConfig: s.tls(), ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout: 90 * time.Second, MaxHeaderBytes: 1 << 20, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}}
	run := []func() error{func() error { return servers[0].ServeTLS(l, "", "") }}
	if health != nil {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /healthz", s.healthz)
		h := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, h)
		run = append(run, func() error { return h.Serve(health) })
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(run))
	for _, f := range run {
		wg.Go(func() { failed <- f() })
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

// Handler is everything on the secure port, behind authentication and authorization.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", s.healthz)
	mux.HandleFunc("/healthz/{check}", s.healthz)
	for _, p := range []string{"/pods", "/pods/{$}"} {
		mux.HandleFunc("GET "+p, s.pods)
	}
	for _, p := range []string{"/runningpods", "/runningpods/{$}"} {
		mux.HandleFunc("GET "+p, s.runningPods)
	}
	mux.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", s.containerLogs)
	for _, m := range []string{"GET", "POST"} {
		mux.HandleFunc(m+" /exec/{ns}/{pod}/{container}", s.exec)
		mux.HandleFunc(m+" /exec/{ns}/{pod}/{uid}/{container}", s.exec)
		mux.HandleFunc(m+" /attach/{ns}/{pod}/{container}", s.attach)
		mux.HandleFunc(m+" /attach/{ns}/{pod}/{uid}/{container}", s.attach)
		mux.HandleFunc(m+" /portForward/{ns}/{pod}", s.portForward)
		mux.HandleFunc(m+" /portForward/{ns}/{pod}/{uid}", s.portForward)
	}
	mux.HandleFunc("POST /run/{ns}/{pod}/{container}", s.run)
	mux.HandleFunc("POST /run/{ns}/{pod}/{uid}/{container}", s.run)
	mux.HandleFunc("/stats/summary", s.summary)
	for path, h := range map[string]http.Handler{"/metrics": s.cfg.Metrics.Kubelet, "/metrics/resource": s.cfg.Metrics.Resource,
		"/metrics/cadvisor": s.cfg.Metrics.CAdvisor, "/metrics/probes": s.cfg.Metrics.Probes} {
		mux.Handle("GET "+path, orEmpty(h))
	}
	mux.HandleFunc("GET /configz", s.configz)
	mux.Handle("GET /logs/", http.StripPrefix("/logs/", http.FileServer(http.Dir(s.cfg.LogDir))))
	return s.auth.wrap(mux)
}

func orEmpty(h http.Handler) http.Handler {
	if h != nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	})
}
