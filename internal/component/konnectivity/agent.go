package konnectivity

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/tunnel/konnectivity/agent"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// Agent is a Konnectivity agent of its own. Make one with NewAgent.
type Agent struct {
	Verbosity int

	Host            string
	Port            int
	Cert, Key, CA   string
	ALPN            []string
	TokenFile       string
	ID, Identifiers string

	HealthHost    string
	HealthPort    int
	Keepalive     time.Duration
	Sync, SyncCap time.Duration
	SyncForever   bool
}

// NewAgent returns upstream's defaults.
func NewAgent() *Agent {
	return &Agent{Host: "127.0.0.1", Port: 8091, HealthPort: 8093, Keepalive: time.Hour, Sync: time.Second, SyncCap: 10 * time.Second, ID: os.Getenv("PROXY_AGENT_ID")}
}

// Table is every flag of upstream's, and what becomes of it.
func (a *Agent) Table() flag.Table {
	return flag.Join(flag.Table{
		flag.Set("agent-cert", flag.String(&a.Cert), "certificate to show to the server"),
		flag.Set("agent-key", flag.String(&a.Key), "its key"),
		flag.Set("ca-cert", flag.String(&a.CA), "authority of the server's certificate; without it those of the machine"),
		flag.Set("proxy-server-host", flag.String(&a.Host), "host of the server, or of what leads to one of several"),
		flag.Set("proxy-server-port", flag.Int(&a.Port), "its port"),
		flag.Set("alpn-proto", flag.List(&a.ALPN), "further protocols to offer in TLS"),
		flag.Set("health-server-host", flag.String(&a.HealthHost), "address of /healthz, /readyz and /metrics; empty: all"),
		flag.Set("health-server-port", flag.Int(&a.HealthPort), "port of that"),
		flag.Ignore("admin-server-port", "int", "8094", noAdmin),
		flag.Set("agent-id", flag.String(&a.ID), "tells the agent from others; default is random, or PROXY_AGENT_ID of the environment"),
		flag.Set("sync-interval", flag.Duration(&a.Sync), "pause before a server is tried again, at first"),
		flag.Ignore("probe-interval", "duration", "1s", "the end of a connection is seen when it comes"),
		flag.Set("sync-interval-cap", flag.Duration(&a.SyncCap), "the longest pause"),
		flag.Set("keepalive-time", flag.Duration(&a.Keepalive), "how often a silent server is asked whether it is there"),
		flag.Set("service-account-token-path", flag.String(&a.TokenFile), "token to prove the agent's identity with"),
		flag.Set("agent-identifiers", flag.String(&a.Identifiers), "what the agent is for, as a URL's query: host=a&ipv4=192.0.2.1&cidr=10.0.0.0/8&default-route=true"),
		flag.Ignore("warn-on-channel-limit", "bool", "", noChannels),
		flag.Set("sync-forever", flag.Bool(&a.SyncForever), "look for further servers also when all are known"),
		flag.Refuse("server-count-source", "string", `"default"`, noLeases),
		flag.Ignore("kubeconfig", "string", "", noLeases),
	}, profiling(), leases("count-server-leases"), logging(&a.Verbosity))
}

// Flags binds upstream's command line.
func (a *Agent) Flags(fs *pflag.FlagSet) { a.Table().Add(fs) }

// Read does nothing: there is no file.
func (a *Agent) Read(flag.Table, *pflag.FlagSet) error { return nil }

// Logger makes the logger that the flags ask for.
func (a *Agent) Logger(w io.Writer) (*slog.Logger, error) { return logger(a.Verbosity, w) }

// Run keeps the connections until ctx ends.
func (a *Agent) Run(ctx context.Context, log *slog.Logger) error {
	conf, err := a.tls()
	if err != nil {
		return flag.Usage{Err: err}
	}
	cfg := agent.Config{
		Servers: []string{net.JoinHostPort(a.Host, strconv.Itoa(a.Port))}, ID: cmp.Or(a.ID, string(uuid.NewUUID())), Identifiers: a.Identifiers, TLS: conf,
		Sync: a.Sync, SyncCap: a.SyncCap, Forever: a.SyncForever, Keepalive: a.Keepalive, Log: log,
	}
	if a.TokenFile != "" {
		cfg.Token = func() (string, error) {
			data, err := os.ReadFile(a.TokenFile)
			return strings.TrimSpace(string(data)), err
		}
	}
	run := agent.New(cfg)
	health := health{at: net.JoinHostPort(a.HealthHost, strconv.Itoa(a.HealthPort)), ready: func() bool { return run.Connected() > 0 },
		numbers: func() map[string]int {
			return map[string]int{"konnectivity_network_proxy_agent_open_server_connections": run.Connected()}
		}}
	log.Info("konnectivity agent starts", "id", cfg.ID, "server", cfg.Servers[0])
	return component.Beside(ctx, run.Run, health.run)
}

func (a *Agent) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.Host, NextProtos: a.ALPN}
	if a.CA != "" {
		pool, err := authorities(a.CA)
		if err != nil {
			return nil, fmt.Errorf("--ca-cert: %w", err)
		}
		conf.RootCAs = pool
	}
	if a.Cert == "" && a.Key == "" {
		return conf, nil
	}
	if a.Cert == "" || a.Key == "" {
		return nil, errors.New("--agent-cert and --agent-key belong together")
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		return &pair, err
	}
	if _, err := load(nil); err != nil {
		return nil, fmt.Errorf("--agent-cert: %w", err)
	}
	conf.GetClientCertificate = load
	return conf, nil
}
