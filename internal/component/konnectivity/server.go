package konnectivity

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/tunnel/konnectivity/server"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// Server is a Konnectivity server of its own. Make one with NewServer.
type Server struct {
	Verbosity int

	// Where API servers ask, and how both sides prove themselves.
	Mode                         string // grpc or http-connect
	UDS                          string // a socket instead of a port
	DeleteUDS                    bool
	Bind                         string
	Port                         int
	Cert, Key, CA                string
	AgentBind                    string
	AgentPort                    int
	AgentCert, AgentKey, AgentCA string
	HealthBind                   string
	HealthPort                   int
	Keepalive, FrontendKeepalive time.Duration

	ID         string
	Count      int
	Strategies string

	// Whose tokens make an agent, and whom to ask about them.
	Namespace, Account, Audience, Kubeconfig string
}

// NewServer returns upstream's defaults.
func NewServer() *Server {
	return &Server{
		Mode: "grpc", DeleteUDS: true, Port: 8090, AgentPort: 8091, HealthPort: 8092, Keepalive: time.Hour, FrontendKeepalive: time.Hour,
		Count: 1, Strategies: "default", ID: os.Getenv("PROXY_SERVER_ID"),
	}
}

// Table is every flag of upstream's, and what becomes of it.
func (s *Server) Table() flag.Table {
	return flag.Join(flag.Table{
		flag.Set("server-cert", flag.String(&s.Cert), "certificate to show to API servers"),
		flag.Set("server-key", flag.String(&s.Key), "its key"),
		flag.Set("server-ca-cert", flag.String(&s.CA), "whose certificates API servers must show; without it they need none"),
		flag.Set("cluster-cert", flag.String(&s.AgentCert), "certificate to show to agents"),
		flag.Set("cluster-key", flag.String(&s.AgentKey), "its key"),
		flag.Set("cluster-ca-cert", flag.String(&s.AgentCA), "whose certificates agents must show; without it they need none"),
		flag.Set("mode", flag.String(&s.Mode), "how API servers ask: grpc or http-connect"),
		flag.Set("uds-name", flag.String(&s.UDS), "socket where API servers ask, instead of a port"),
		flag.Set("delete-existing-uds-file", flag.Bool(&s.DeleteUDS), "take away what is left at --uds-name"),
		flag.Set("server-port", flag.Int(&s.Port), "port where API servers ask; 0 with --uds-name"),
		flag.Set("server-bind-address", flag.String(&s.Bind), "address of that; empty: all"),
		flag.Set("agent-port", flag.Int(&s.AgentPort), "port that agents connect to"),
		flag.Set("agent-bind-address", flag.String(&s.AgentBind), "address of that; empty: all"),
		flag.Ignore("admin-port", "int", "8095", noAdmin),
		flag.Set("health-port", flag.Int(&s.HealthPort), "port of /healthz, /readyz and /metrics"),
		flag.Set("health-bind-address", flag.String(&s.HealthBind), "address of that; empty: all"),
		flag.Set("keepalive-time", flag.Duration(&s.Keepalive), "how often a silent agent is asked whether it is there"),
		flag.Set("frontend-keepalive-time", flag.Duration(&s.FrontendKeepalive), "the same of an API server"),
		flag.Set("server-id", flag.String(&s.ID), "tells the server from others; default is random, or PROXY_SERVER_ID of the environment"),
		flag.Set("server-count", flag.Int(&s.Count), "how many servers there are; an agent connects to each"),
		flag.Set("agent-namespace", flag.String(&s.Namespace), "namespace of the service account whose tokens make an agent"),
		flag.Set("agent-service-account", flag.String(&s.Account), "name of that account"),
		flag.Set("authentication-audience", flag.String(&s.Audience), "audience of those tokens"),
		flag.Set("kubeconfig", flag.String(&s.Kubeconfig), "the API server that is asked about tokens"),
		flag.Ignore("kubeconfig-qps", "float32", "", apiPace),
		flag.Ignore("kubeconfig-burst", "int", "", apiPace),
		flag.Set("proxy-strategies", flag.String(&s.Strategies), "how an agent is chosen, in this order: default, destHost, defaultRoute"),
		flag.Ignore("cipher-suites", "strings", "", component.TLSChoice),
	}, profiling(), leases("enable-lease-controller"), logging(&s.Verbosity))
}

// Flags binds upstream's command line.
func (s *Server) Flags(fs *pflag.FlagSet) { s.Table().Add(fs) }

// Read does nothing: there is no file.
func (s *Server) Read(flag.Table, *pflag.FlagSet) error { return nil }

// Logger makes the logger that the flags ask for.
func (s *Server) Logger(w io.Writer) (*slog.Logger, error) { return logger(s.Verbosity, w) }

func logger(verbosity int, w io.Writer) (*slog.Logger, error) {
	return (&component.Log{Verbosity: verbosity - 1}).New(w) // upstream's default of 4 is no wish for details
}

// validate is upstream's.
func (s *Server) validate() error {
	switch {
	case s.Mode != "grpc" && s.Mode != "http-connect":
		return fmt.Errorf("mode must be set to either 'grpc' or 'http-connect' not %q", s.Mode)
	case s.UDS != "" && s.Port != 0:
		return fmt.Errorf("server port should be set to 0 not %d for UDS", s.Port)
	case s.UDS != "" && s.Key != "":
		return errors.New("server key should not be set for UDS")
	case s.UDS != "" && s.Cert != "":
		return errors.New("server cert should not be set for UDS")
	case s.UDS != "" && s.CA != "":
		return errors.New("server ca cert should not be set for UDS")
	case s.AgentCert == "" || s.AgentKey == "":
		return errors.New("--cluster-cert and --cluster-key are needed")
	case s.UDS == "" && (s.Cert == "" || s.Key == ""):
		return errors.New("--server-cert and --server-key are needed, or --uds-name")
	}
	if s.Namespace == "" && s.Account == "" && s.Audience == "" {
		return nil
	}
	switch {
	case s.AgentCA != "":
		return errors.New("--cluster-ca-cert can not be used when agent authentication is enabled")
	case s.Namespace == "":
		return errors.New("--agent-namespace cannot be empty when agent authentication is enabled")
	case s.Account == "":
		return errors.New("--agent-service-account cannot be empty when agent authentication is enabled")
	case s.Audience == "":
		return errors.New("--authentication-audience cannot be empty when agent authentication is enabled")
	}
	return nil
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context, log *slog.Logger) error {
	if err := s.validate(); err != nil {
		return flag.Usage{Err: err}
	}
	cfg := server.Config{ID: cmp.Or(s.ID, string(uuid.NewUUID())), Count: s.Count, Log: log}
	var err error
	if cfg.Strategies, err = server.Strategies(s.Strategies); err != nil {
		return flag.Usage{Err: fmt.Errorf("invalid proxy strategies: %w", err)}
	}
	if s.Namespace != "" {
		if cfg.Authenticate, err = s.accounts(); err != nil {
			return err
		}
	}
	agentsTLS, err := serverTLS(s.AgentCert, s.AgentKey, s.AgentCA)
	if err != nil {
		return flag.Usage{Err: fmt.Errorf("--cluster-cert: %w", err)}
	}
	agents, err := net.Listen("tcp", net.JoinHostPort(s.AgentBind, strconv.Itoa(s.AgentPort)))
	if err != nil {
		return fmt.Errorf("--agent-port: %w", err)
	}
	defer agents.Close()
	frontends, err := s.listen()
	if err != nil {
		return err
	}
	defer frontends.Close()
	srv := server.New(cfg)
	log.Info("konnectivity server starts", "id", cfg.ID, "agents", agents.Addr().String(), "frontends", frontends.Addr().String(), "mode", s.Mode)
	health := health{at: net.JoinHostPort(s.HealthBind, strconv.Itoa(s.HealthPort)), ready: func() bool { return srv.Agents() > 0 },
		numbers: func() map[string]int {
			return map[string]int{"konnectivity_network_proxy_server_ready_backend_connections": srv.Agents(), "konnectivity_network_proxy_server_established_connections": srv.Open()}
		}}
	return component.Beside(ctx, func(ctx context.Context) error {
		return srv.ServeAgents(ctx, agents, credentials.NewTLS(agentsTLS), s.Keepalive)
	}, func(ctx context.Context) error {
		if s.Mode == "http-connect" {
			return srv.ServeConnect(ctx, frontends)
		}
		return srv.ServeFrontends(ctx, frontends, insecure.NewCredentials(), s.FrontendKeepalive)
	}, health.run)
}

// listen listens for API servers; on a port with TLS.
func (s *Server) listen() (net.Listener, error) {
	if s.UDS != "" {
		if s.DeleteUDS {
			if err := os.Remove(s.UDS); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, fmt.Errorf("--uds-name: %w", err)
			}
		}
		return net.Listen("unix", s.UDS)
	}
	conf, err := serverTLS(s.Cert, s.Key, s.CA)
	if err != nil {
		return nil, flag.Usage{Err: fmt.Errorf("--server-cert: %w", err)}
	}
	conf.NextProtos = map[string][]string{"grpc": {"h2"}, "http-connect": {"http/1.1"}}[s.Mode]
	return tls.Listen("tcp", net.JoinHostPort(s.Bind, strconv.Itoa(s.Port)), conf)
}

// accounts asks the API server of --kubeconfig about tokens.
func (s *Server) accounts() (func(context.Context, []*x509.Certificate, string) (server.Identity, error), error) {
	rc, err := (&component.Contact{Kubeconfig: s.Kubeconfig}).Config("konnectivity-server")
	if err != nil {
		return nil, err
	}
	door, err := remote.New(rc)
	if err != nil {
		return nil, err
	}
	a := &server.Accounts{Namespace: s.Namespace, Name: s.Account, Audience: s.Audience, Review: func(ctx context.Context, r *authenticationv1.TokenReview) (*authenticationv1.TokenReview, error) {
		return client.Create(ctx, door, client.TokenReviews, r)
	}}
	return func(ctx context.Context, _ []*x509.Certificate, token string) (server.Identity, error) {
		return a.Authenticate(ctx, token)
	}, nil
}

// serverTLS shows a certificate, read at each connection, and wants one of the authority's if there is one.
func serverTLS(cert, key, ca string) (*tls.Config, error) {
	load := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		return &pair, err
	}
	if _, err := load(nil); err != nil {
		return nil, err
	}
	conf := &tls.Config{GetCertificate: load, MinVersion: tls.VersionTLS12}
	if ca != "" {
		pool, err := authorities(ca)
		if err != nil {
			return nil, err
		}
		conf.ClientCAs, conf.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	return conf, nil
}

func authorities(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return pool, nil
}
