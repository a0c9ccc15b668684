package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"sampan.dev/internal/hub/store/etcd/sound"
	"sampan.dev/internal/hub/store/etcd/split"

	etcdversion "go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
)

// ServeConfig configures a lone member that serves clients elsewhere without certificates: for tests, on this machine.
type ServeConfig struct {
	Dir    string // the member's own directory
	URL    string // where clients are told that it is
	NoSync bool   // nothing is made durable, as with etcd's --unsafe-no-fsync
	Serves func() // called once it serves; nil: nothing is
	Log    *slog.Logger
}

// Serve runs a member that answers gRPC clients and HTTP's /health and /version on one port until ctx ends. It closes l.
func Serve(ctx context.Context, cfg ServeConfig, l net.Listener) error {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the etcd directory: %w", err)
	}
	dir, err := filepath.EvalSymlinks(cfg.Dir)
	if err != nil {
		return fmt.Errorf("find the etcd directory: %w", err)
	}
	log := cfg.Log.With("component", "etcd")
	if err := sound.Check(dir, log); err != nil {
		return err
	}
	m := &member{log: log, end: func() {}}
	m.fate = newFate(func() { seizeFiles(dir) })
	setSegment(walSegmentShort)
	if err := m.start(ctx, dir, EmbeddedConfig{url: cfg.URL, noSync: cfg.NoSync}); err != nil {
		return fmt.Errorf("open the etcd directory %s: %w", dir, err)
	}
	defer m.close() //nolint:errcheck // there is no client of ours
	shared := split.New(l)
	m.grpc, m.done = v3rpc.Server(m.srv, nil, m.refuse), make(chan struct{})
	go func() {
		defer close(m.done)
		_ = m.grpc.Serve(shared.HTTP2) // ends with close
	}()
	front := &http.Server{Handler: http.HandlerFunc(m.tell), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- front.Serve(shared.HTTP1) }()
	if cfg.Serves != nil {
		cfg.Serves()
	}
	log.Info("etcd serves", "at", l.Addr().String(), "directory", dir)
	shared.Run(ctx)
	front.Close()
	<-served
	if err := m.fate.err(); err != nil {
		return err
	}
	return ctx.Err()
}

// tell answers what scripts wait for.
func (m *member) tell(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch r.URL.Path {
	case "/health", "/readyz", "/livez":
		if _, ok := m.revision(); !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
			answer = map[string]string{"health": "false", "reason": "the member has failed"}
			break
		}
		answer = map[string]string{"health": "true", "reason": ""}
	case "/version":
		answer = map[string]string{"etcdserver": etcdversion.Version, "etcdcluster": etcdversion.Cluster(etcdversion.Version) + ".0"}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}
