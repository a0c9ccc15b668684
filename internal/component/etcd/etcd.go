package etcd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/hub/store/etcd"
	"sampan.dev/internal/memlimit"
	"sampan.dev/internal/obs"

	"github.com/spf13/pflag"
)

// Config of an etcd. Make one with New.
type Config struct {
	DataDir   string
	Clients   []string // URLs to listen on; one is served
	Advertise []string
	NoSync    bool
	Level     string
}

// New returns upstream's defaults.
func New() *Config {
	return &Config{DataDir: "default.etcd", Clients: []string{"http://localhost:2379"}, Level: "info"}
}

// Reasons that several flags share.
const (
	alone    = "there is one member, and nobody listens for others"
	plain    = "connections are plain, on this machine"
	usual    = "the member has its usual settings"
	noticing = "the API server compacts"
)

// Table is the flags that test suites give, and what becomes of them.
func (c *Config) Table() flag.Table {
	return flag.Table{
		flag.Set("data-dir", flag.String(&c.DataDir), "directory of the member"),
		flag.Set("listen-client-urls", flag.List(&c.Clients), "URL to listen on for clients"),
		flag.Set("advertise-client-urls", flag.List(&c.Advertise), "URL that clients are told; default is where it listens"),
		flag.Set("unsafe-no-fsync", flag.Bool(&c.NoSync), "make nothing durable: a crash of the machine loses it"),
		flag.Set("log-level", flag.OneOf("string", &c.Level, "debug", "info", "warn", "error", "panic", "fatal"), "debug, info, warn or error"),
		flag.Ignore("name", "string", "default", alone),
		flag.Ignore("listen-peer-urls", "strings", "http://localhost:2380", alone),
		flag.Ignore("initial-advertise-peer-urls", "strings", "http://localhost:2380", alone),
		flag.Ignore("initial-cluster", "string", "", alone),
		flag.Ignore("initial-cluster-state", "string", "new", alone),
		flag.Ignore("initial-cluster-token", "string", "etcd-cluster", alone),
		flag.Ignore("listen-metrics-urls", "strings", "", "there are no metrics"),
		flag.Refuse("cert-file", "string", "", plain),
		flag.Refuse("key-file", "string", "", plain),
		flag.Refuse("trusted-ca-file", "string", "", plain),
		flag.Refuse("client-cert-auth", "bool", "", plain),
		flag.Refuse("wal-dir", "string", "", "the log is in the member's directory"),
		flag.Ignore("heartbeat-interval", "uint", "100", usual),
		flag.Ignore("election-timeout", "uint", "1000", usual),
		flag.Ignore("snapshot-count", "uint", "10000", usual),
		flag.Ignore("quota-backend-bytes", "int", "0", usual),
		flag.Ignore("max-request-bytes", "uint", "1572864", usual),
		flag.Ignore("max-txn-ops", "uint", "128", usual),
		flag.Ignore("auto-compaction-mode", "string", "periodic", noticing),
		flag.Ignore("auto-compaction-retention", "string", "0", noticing),
		flag.Ignore("logger", "string", "zap", "the log is one line for each event"),
		flag.Ignore("log-outputs", "strings", "default", "the log goes to standard error"),
	}
}

// Flags binds etcd's command line.
func (c *Config) Flags(fs *pflag.FlagSet) { c.Table().Add(fs) }

// Read does nothing: etcd's file of settings is not read.
func (c *Config) Read(flag.Table, *pflag.FlagSet) error { return nil }

// Logger makes the logger that the flags ask for.
func (c *Config) Logger(w io.Writer) (*slog.Logger, error) {
	level := c.Level
	if level == "panic" || level == "fatal" {
		level = "error"
	}
	return obs.NewLogger(w, level, "text")
}

// Run serves until ctx ends.
func (c *Config) Run(ctx context.Context, log *slog.Logger) error {
	at, err := c.listen()
	if err != nil {
		return flag.Usage{Err: fmt.Errorf("--listen-client-urls: %w", err)}
	}
	l, err := net.Listen("tcp", at.Host)
	if err != nil {
		return err
	}
	told := at.String()
	if len(c.Advertise) > 0 {
		told = c.Advertise[0]
	}
	return etcd.Serve(ctx, etcd.ServeConfig{Dir: c.DataDir, URL: told, NoSync: c.NoSync, Serves: memlimit.LetGoOfProgram, Log: log}, l)
}

// listen is where clients are served.
func (c *Config) listen() (*url.URL, error) {
	if len(c.Clients) != 1 {
		return nil, fmt.Errorf("%v: want one URL", c.Clients)
	}
	at, err := url.Parse(c.Clients[0])
	switch {
	case err != nil:
		return nil, err
	case at.Scheme != "http":
		return nil, fmt.Errorf("%s: want http://ADDRESS:PORT: %s", at, plain)
	case at.Port() == "":
		return nil, fmt.Errorf("%s: there is no port", at)
	}
	return at, nil
}
