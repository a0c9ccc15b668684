package etcd

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/hub/store"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/features"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// EmbeddedConfig configures the member that runs in this process.
type EmbeddedConfig struct {
	Dir string // the data directory of sampan; the member's is Dir/etcd, made if need be

	// Listen is the address on which the member answers gRPC clients (etcdctl, backup tools), for instance
	// "127.0.0.1:2379"; empty means none. TLS is required with it and should ask for client certificates: who can
	// reach etcd can do anything.
	Listen string
	TLS    *tls.Config

	Log *slog.Logger
}

// The member's name and peer address are the defaults of a stock etcd, so that one started on the same directory without
// further flags takes it for its own. Nothing listens on the peer address.
const (
	memberName   = "default"
	peerURL      = "http://localhost:2380"
	clusterToken = "etcd-cluster"
)

// A lone member elects itself after one to two election timeouts, so ticks are short until it has; after that they drive
// only heartbeats to nobody, and short ones would cost an idle cluster a percent of a core. What etcd derives of idleTickMs,
// once the ticker is made, are timeouts and how often it looks for a leader that has gone.
const (
	tickMs        = 200
	electionTicks = 5
	firstTick     = 10 * time.Millisecond
	idleTickMs    = 2000
)

const (
	quota      = 8 << 30
	maxRequest = 1536 * 1024
	readyIn    = time.Minute
	// The raft log matters to followers that lag, of which there are none: it is memory.
	snapshotCount  = 5000
	catchUpEntries = 500
	// A start reads the whole of the log twice, but for what is older than the last snapshot and has been thrown away. What is
	// kept beyond that would help only a follower.
	walFiles   = 1
	walSegment = 16 << 20
	// How long writes, which the log has already, may wait to be committed to the database file together.
	commitEvery = time.Second
)

// member is a running etcd server.
type member struct {
	srv  *etcdserver.EtcdServer
	log  *slog.Logger
	grpc *grpc.Server // nil without a listener
	done chan struct{}

	shown atomic.Int64 // bytes that scans have looked at since pages were last given back
}

// Embedded starts the member on its directory, new or used, and returns when it serves.
func Embedded(ctx context.Context, cfg EmbeddedConfig) (*Store, error) {
	dir := filepath.Join(cfg.Dir, "etcd")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the etcd directory: %w", err)
	}
	log := cfg.Log.With("component", "etcd")
	wal.SegmentSizeBytes = walSegment
	srv, err := etcdserver.NewServer(serverConfig(dir, cfg, log))
	if err != nil {
		return nil, fmt.Errorf("open the etcd directory %s: %w", dir, err)
	}
	m := &member{srv: srv, log: log}
	tick(srv, firstTick, log)
	srv.Cfg.TickMs = idleTickMs
	srv.Start()
	ctx, cancel := context.WithTimeout(ctx, readyIn)
	defer cancel()
	select {
	case <-srv.ReadyNotify():
	case <-srv.StopNotify():
		return nil, fmt.Errorf("etcd in %s stopped while it started", dir)
	case <-ctx.Done():
		srv.HardStop()
		return nil, fmt.Errorf("wait for etcd in %s: %w", dir, ctx.Err())
	}
	tick(srv, idleTickMs*time.Millisecond, log)
	if cfg.Listen != "" {
		if err := m.listen(cfg); err != nil {
			srv.Stop()
			return nil, err
		}
	}
	c := v3client.New(srv)
	s := newStore(c, root)
	s.member = m
	s.close = sync.OnceValue(func() error { return m.close(c) })
	return s, nil
}

func serverConfig(dir string, cfg EmbeddedConfig, log *slog.Logger) config.ServerConfig {
	peers := types.MustNewURLs([]string{peerURL})
	// What the member tells clients to dial; without a listener the stock default, which nobody answers.
	clients := types.MustNewURLs([]string{"http://localhost:2379"})
	if cfg.Listen != "" {
		clients = types.URLs{url.URL{Scheme: "https", Host: cfg.Listen}}
	}
	lg := zapLogger(log)
	return config.ServerConfig{
		Name:                       memberName,
		ClientURLs:                 clients,
		PeerURLs:                   peers,
		DataDir:                    dir,
		SnapshotCount:              snapshotCount,
		SnapshotCatchUpEntries:     catchUpEntries,
		BackendBatchInterval:       commitEvery,
		MaxSnapFiles:               3,
		MaxWALFiles:                walFiles,
		InitialPeerURLsMap:         types.URLsMap{memberName: peers},
		InitialClusterToken:        clusterToken,
		NewCluster:                 true,
		TickMs:                     tickMs,
		ElectionTicks:              electionTicks,
		InitialElectionTickAdvance: true,
		PreVote:                    true,
		AutoCompactionMode:         "periodic", // with no retention: the hub compacts
		QuotaBackendBytes:          quota,
		MaxTxnOps:                  128,
		MaxRequestBytes:            maxRequest,
		MaxConcurrentStreams:       1 << 20,
		StrictReconfigCheck:        true,
		ClientCertAuthEnabled:      cfg.TLS != nil && cfg.TLS.ClientAuth == tls.RequireAndVerifyClientCert,
		AuthToken:                  "simple",
		TokenTTL:                   300,
		WarningApplyDuration:       500 * time.Millisecond,
		V2Deprecation:              config.V2DeprDefault,
		ServerFeatureGate:          features.NewDefaultServerFeatureGate(memberName, lg),
		Metrics:                    "basic",
		Logger:                     lg,
	}
}

// tick sets the period of the raft loop. The server has no way to ask for one other than tickMs, so the ticker is reached
// through the struct; if etcd renames the field, the member merely starts slower and ticks on.
func tick(srv *etcdserver.EtcdServer, period time.Duration, log *slog.Logger) {
	r := reflect.ValueOf(srv).Elem().FieldByName("r")
	if r.Kind() == reflect.Struct {
		if f := r.FieldByName("ticker"); f.IsValid() && f.Type() == reflect.TypeFor[*time.Ticker]() {
			(*time.Ticker)(f.UnsafePointer()).Reset(period)
			return
		}
	}
	log.Debug("etcd keeps its starting tick")
}

// listen serves gRPC clients from elsewhere on this machine.
func (m *member) listen(cfg EmbeddedConfig) error {
	if cfg.TLS == nil {
		return fmt.Errorf("etcd listener %s: no certificates", cfg.Listen)
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		// Another cluster on this machine may have the address. Nothing of ours needs it.
		m.log.Warn("etcd clients cannot be served", "error", err)
		return nil
	}
	m.grpc = v3rpc.Server(m.srv, cfg.TLS, nil,
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}))
	m.done = make(chan struct{})
	go func() {
		defer close(m.done)
		if err := m.grpc.Serve(l); err != nil {
			m.log.Warn("etcd listener failed", "error", err)
		}
	}()
	return nil
}

// revision is the newest that a write has been acknowledged at: a lone member applies before it answers.
func (m *member) revision() (int64, error) {
	select {
	case <-m.srv.StoppingNotify():
		return 0, fmt.Errorf("revision: %w: etcd has stopped", store.ErrUnready)
	default:
		return m.srv.KV().Rev(), nil
	}
}

func (m *member) close(c *clientv3.Client) error {
	if m.grpc != nil {
		m.grpc.Stop()
		<-m.done
	}
	err := c.Close()
	m.srv.Stop()
	if err != nil && err != context.Canceled {
		return fmt.Errorf("close etcd: %w", err)
	}
	return nil
}
