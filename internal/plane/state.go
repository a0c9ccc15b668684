package plane

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"

	"sampan.dev/internal/api"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/config"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/etcd"
	"sampan.dev/internal/hub/store/relaxed"
	"sampan.dev/internal/pki"
)

// EtcdEndpoint is the file that says where the embedded etcd of the running cluster answers.
func EtcdEndpoint(cfg config.Config) string { return filepath.Join(cfg.DataDir, "etcd.endpoint") }

// noteEndpoint leaves word of where the embedded etcd answers. On a disk that takes no file only these commands do without.
func noteEndpoint(cfg config.Config, listen string) error {
	return pki.WriteFile(EtcdEndpoint(cfg), []byte(listen+"\n"), 0o600)
}

// state is where the cluster's objects are.
type state struct {
	detail string // for people
	listen string // of the embedded member, for clients; "" for an external one
	main   store.Store
	apart  map[string]store.Store // see hub.Config
	checks []hub.Check
	fast   *relaxed.Store // nil when everything is in main
}

// openState opens the external etcd if one is named, else the embedded member, with events and leases in front of it.
func openState(ctx context.Context, cfg suite.Config, kinds *api.Kinds, keys *pki.Store, log *slog.Logger) (*state, error) {
	log = log.With("component", "store")
	if len(cfg.API.EtcdServers) > 0 {
		st, err := cfg.API.Store(ctx, log)
		if err != nil {
			return nil, err
		}
		return &state{detail: fmt.Sprint("etcd at ", cfg.API.EtcdServers), main: st}, nil
	}
	listen := freePort("127.0.0.1", 2379) // etcd's usual port, or a free one when another cluster of this machine has it
	tlsConfig := pki.ServerTLS(keys.EtcdServer)
	tlsConfig.ClientAuth = tls.RequireAndVerifyClientCert
	tlsConfig.ClientCAs = keys.EtcdCA.Pool()
	st, err := etcd.Embedded(ctx, etcd.EmbeddedConfig{Dir: cfg.DataDir, Listen: listen, TLS: tlsConfig, Quota: cfg.EtcdQuota, Log: log})
	if err != nil {
		return nil, err
	}
	if err := noteEndpoint(cfg.Config, listen); err != nil {
		log.Warn("'sampan etcd' will not find the store", "error", err)
	}
	s := &state{detail: "embedded etcd, clients at " + listen, listen: listen, main: st}
	// Not of /livez: the store opens itself again, and what has been read is served meanwhile.
	s.checks = []hub.Check{{Name: "store", Ready: true, Check: func(context.Context) error { return st.Healthy() }}}
	if err := s.relax(ctx, cfg, kinds, st, log); err != nil {
		st.Close()
		return nil, err
	}
	return s, nil
}

// relax puts the relaxed store in front of st. One that is no longer wanted but has been in use stays, since resource
// versions must not go back, and writes everything through.
func (s *state) relax(ctx context.Context, cfg suite.Config, kinds *api.Kinds, st *etcd.Store, log *slog.Logger) error {
	if cfg.DurableLeasesAndEvents {
		used, err := relaxed.Used(ctx, st)
		if err != nil || !used {
			return err
		}
	}
	var err error
	s.fast, err = relaxed.Open(ctx, relaxed.Config{Back: st, Prefixes: hub.Relaxed(kinds), Durable: cfg.DurableLeasesAndEvents, Log: log})
	if err != nil {
		return err
	}
	s.apart = map[string]store.Store{}
	for _, prefix := range s.fast.Prefixes() {
		s.apart[prefix] = s.fast
	}
	// Not of /livez: to be restarted for it would lose what waits to be written.
	s.checks = append(s.checks, hub.Check{Name: "write-behind", Ready: true, Check: func(context.Context) error { return s.fast.Healthy() }})
	return nil
}

func (s *state) close(log *slog.Logger) {
	if s.fast != nil {
		if err := s.fast.Close(); err != nil {
			log.Error("events and renewals of leases could not be written", "error", err)
		}
	}
	_ = s.main.Close()
}

// freePort returns the address with the usual port when nobody listens there, else with one that the kernel chooses.
func freePort(host string, usual int) string {
	for _, port := range []int{usual, 0} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	return net.JoinHostPort(host, fmt.Sprint(usual))
}
