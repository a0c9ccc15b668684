package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"sync/atomic"
	"time"

	"sampan.dev/internal/hub/store/etcd/sound"
	"sampan.dev/internal/hub/store/etcd/zaplog"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/features"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// EmbeddedConfig configures the member that runs in this process.
type EmbeddedConfig struct {
	Dir string // the data directory of sampan; the member's is Dir/etcd, made if need be

	// Listen is the address on which the member answers gRPC clients (etcdctl, backup tools), for instance
	// "127.0.0.1:2379"; empty means none. TLS is required with it and should ask for client certificates: who can
	// reach etcd can do anything.
	Listen string
	TLS    *tls.Config

	// Quota is how many bytes the database may take; zero means 8 GiB.
	Quota int64

	Log *slog.Logger

	url    string // where clients are told that it is, for Serve
	noSync bool   // nothing is made durable, for Serve
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
	maxRequest = sound.MaxRequest
	readyIn    = time.Minute
	// The raft log matters to followers that lag, of which there are none: it is memory.
	snapshotCount  = 5000
	catchUpEntries = 1 // of up to maxRequest bytes each; the last hundred are kept in any case
	// A start reads the whole of the log twice, but for what is older than the last snapshot and has been thrown away. What is
	// kept beyond that would help only a follower.
	walFiles   = 1
	walSegment = 16 << 20
	// walSegmentShort is what the next file takes beforehand on a disk without room for all of it.
	walSegmentShort = 256 << 10
	// How long writes, which the log has already, may wait to be committed to the database file together.
	commitEvery = time.Second
)

// member is one life of the etcd server.
type member struct {
	srv  *etcdserver.EtcdServer
	c    *clientv3.Client
	fate *fate
	log  *slog.Logger
	grpc *grpc.Server // nil without a listener
	done chan struct{}
	end  context.CancelFunc // of the session

	foreign atomic.Pointer[func()] // called when clients elsewhere have changed something
	shown   atomic.Int64           // bytes that scans have looked at since pages were last given back
}

// openMember starts a member on dir, new or used, and returns when it serves. segment is how much room the next file of its log
// takes beforehand, in bytes.
func openMember(ctx context.Context, dir string, cfg EmbeddedConfig, segment int64, log *slog.Logger) (*session, error) {
	over, end := context.WithCancel(context.Background())
	m := &member{log: log, end: end}
	m.fate = newFate(func() {
		seizeFiles(dir)
		end()
	})
	setSegment(segment) // for the file that is made beforehand; see start
	if err := sound.Check(dir, log); err != nil {
		end()
		return nil, err
	}
	if err := m.start(ctx, dir, cfg); err != nil {
		m.fate.fail(err) // should part of it still run
		dropFiles(dir)
		return nil, err
	}
	if cfg.Listen != "" {
		if err := m.listen(cfg); err != nil {
			m.close()
			return nil, err
		}
	}
	m.c = v3client.New(m.srv)
	return newSession(m.c, m, over), nil
}

// setSegment sets the size of the files of the log, in bytes, for the whole process, which members that run read: it is written
// only where it changes.
func setSegment(bytes int64) {
	if wal.SegmentSizeBytes != bytes {
		wal.SegmentSizeBytes = bytes
	}
}

// start has etcd read its files in a goroutine of its own, which does not come back when etcd finds one that it cannot read.
func (m *member) start(ctx context.Context, dir string, cfg EmbeddedConfig) error {
	type made struct {
		srv *etcdserver.EtcdServer
		err error
	}
	opened := make(chan made, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				opened <- made{err: fmt.Errorf("etcd cannot read its files: %v", p)}
			}
		}()
		srv, err := etcdserver.NewServer(serverConfig(dir, cfg, zaplog.Ending(m.log, m.fate)))
		opened <- made{srv, err}
	}()
	select {
	case r := <-opened:
		if m.srv = r.srv; r.err != nil {
			return r.err
		}
	case <-m.fate.failed:
		return m.fate.why
	}
	// From here on it says when a file of the log is full.
	setSegment(walSegment)
	tick(m.srv, firstTick, m.log)
	m.srv.Cfg.TickMs = idleTickMs
	m.srv.Start()
	ctx, cancel := context.WithTimeout(ctx, readyIn)
	defer cancel()
	select {
	case <-m.srv.ReadyNotify():
	case <-m.fate.failed:
		return m.fate.why
	case <-m.srv.StopNotify():
		return errors.New("etcd stopped while it started")
	case <-ctx.Done():
		m.stop()
		return fmt.Errorf("wait for etcd: %w", ctx.Err())
	}
	tick(m.srv, idleTickMs*time.Millisecond, m.log)
	return nil
}

func serverConfig(dir string, cfg EmbeddedConfig, lg *zap.Logger) config.ServerConfig {
	peers := types.MustNewURLs([]string{peerURL})
	// What the member tells clients to dial; without a listener the stock default, which nobody answers.
	clients := types.MustNewURLs([]string{"http://localhost:2379"})
	if cfg.Listen != "" {
		clients = types.URLs{url.URL{Scheme: "https", Host: cfg.Listen}}
	} else if cfg.url != "" {
		clients = types.MustNewURLs([]string{cfg.url})
	}
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
		UnsafeNoFsync:              cfg.noSync,
		AutoCompactionMode:         "periodic", // with no retention: the hub compacts
		QuotaBackendBytes:          hardQuota(cfg.quota(), dir),
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
	m.grpc = v3rpc.Server(m.srv, cfg.TLS, m.refuse,
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

// refuse keeps the answers of a failed member from clients elsewhere, and notes what they change.
func (m *member) refuse(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	switch req.(type) {
	case *pb.PutRequest, *pb.DeleteRangeRequest, *pb.TxnRequest, *pb.LeaseRevokeRequest:
		if note := m.foreign.Load(); note != nil {
			(*note)()
		}
	}
	if m.fate.err() != nil {
		return nil, status.Error(codes.Unavailable, "etcdserver: the member has failed")
	}
	return resp, err
}

// point is where the member is. The index is read first: what is applied meanwhile makes the revision larger, and a point that
// others are compared with more lenient.
func (m *member) point() point {
	index := int64(m.srv.AppliedIndex())
	return point{m.srv.KV().Rev(), index}
}

// revision is the newest that a write has been acknowledged at: a lone member applies before it answers. A member that has
// failed or stopped does not know.
func (m *member) revision() (int64, bool) {
	select {
	case <-m.fate.failed:
		return 0, false
	case <-m.srv.StoppingNotify():
		return 0, false
	default:
		rev := m.srv.KV().Rev()
		return rev, m.fate.err() == nil
	}
}

// stopIn is how long a member that has failed may take to stop. One that does not is left behind: it has no files any more.
const stopIn = 5 * time.Second

// close stops the member.
func (m *member) close() error {
	if m.grpc != nil {
		m.grpc.Stop()
		<-m.done
	}
	m.end()
	var err error
	if m.c != nil {
		err = m.c.Close()
	}
	m.stop()
	if err != nil && err != context.Canceled {
		return fmt.Errorf("close etcd: %w", err)
	}
	return nil
}

// stop ends the server's goroutines. It waits for those of one that has failed for a while only, and lets go of its files.
func (m *member) stop() {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		m.srv.HardStop()
	}()
	select {
	case <-stopped:
	case <-m.fate.failed:
		select {
		case <-stopped:
		case <-time.After(stopIn):
			m.log.Warn("a failed member does not stop and is left behind")
		}
	}
	if m.fate.err() != nil {
		dropFiles(m.srv.Cfg.DataDir)
	}
}
