package etcd

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/etcd/zaplog"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// ExternalConfig names a cluster elsewhere, as the flags --etcd-servers, --etcd-cafile, --etcd-certfile, --etcd-keyfile and
// --etcd-prefix do.
type ExternalConfig struct {
	Servers  []string // "https://10.0.0.1:2379"
	CAFile   string
	CertFile string
	KeyFile  string
	Prefix   string // empty means /registry
	// Dial connects to the servers. Nil is the network's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

// dialIn bounds the first contact.
const dialIn = 20 * time.Second

// External connects to a cluster and returns when it has answered.
func External(ctx context.Context, cfg ExternalConfig) (*Store, error) {
	var conf *tls.Config
	if cfg.CAFile != "" || cfg.CertFile != "" || cfg.KeyFile != "" {
		info := transport.TLSInfo{CertFile: cfg.CertFile, KeyFile: cfg.KeyFile, TrustedCAFile: cfg.CAFile}
		var err error
		if conf, err = info.ClientConfig(); err != nil {
			return nil, fmt.Errorf("etcd client certificates: %w", err)
		}
	}
	var options []grpc.DialOption
	if cfg.Dial != nil {
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			if u, err := url.Parse(address); err == nil && u.Host != "" {
				address = u.Host
			}
			return cfg.Dial(ctx, "tcp", address)
		}))
	}
	c, err := clientv3.New(clientv3.Config{
		DialOptions:          options,
		Endpoints:            cfg.Servers,
		TLS:                  conf,
		DialTimeout:          dialIn,
		DialKeepAliveTime:    30 * time.Second,
		DialKeepAliveTimeout: 10 * time.Second,
		PermitWithoutStream:  true,
		Logger:               zaplog.New(cfg.Log.With("component", "etcd-client")),
	})
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", strings.Join(cfg.Servers, ","), err)
	}
	prefix := "/" + strings.Trim(cfg.Prefix, "/")
	if cfg.Prefix == "" {
		prefix = root
	}
	over, end := context.WithCancel(context.Background())
	s := newStore(newSession(c, nil, over), prefix)
	s.close = sync.OnceValue(func() error {
		end()
		if err := c.Close(); err != nil && err != context.Canceled {
			return fmt.Errorf("close etcd client: %w", err)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(ctx, dialIn)
	defer cancel()
	if _, err := s.Revision(ctx, ""); err != nil {
		c.Close()
		return nil, fmt.Errorf("etcd at %s: %w: %w", strings.Join(cfg.Servers, ","), store.ErrUnready, err)
	}
	return s, nil
}
