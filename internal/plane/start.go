package plane

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"runtime/debug"
	"time"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/pki"
)

// startGC is the garbage collector's target while the API server starts, in percent of what is in use.
const startGC = 400

// Open opens the keys of a control plane whose API server is to answer on listener.
func Open(g *daemon.Group, cfg suite.Config, paths config.Paths, listener net.Listener, show *steps.Steps, log *slog.Logger) (*Plane, error) {
	since := time.Now()
	ip, err := advertised(cfg.Config)
	if err != nil {
		return nil, fmt.Errorf("address of this machine: %w", err)
	}
	keys, err := openKeys(cfg.Config, paths, ip, log)
	if err != nil {
		return nil, err
	}
	show.Done("keys and certificates", since, paths.PKI)

	kinds, err := cfg.API.Served()
	if err != nil {
		return nil, flag.Usage{Err: err}
	}
	p := &Plane{cfg: cfg, kinds: kinds, Pki: keys, log: log, moved: make(chan netip.AddrPort, 1)}
	addr, _ := netip.AddrFromSlice(ip)
	at := netip.AddrPortFrom(addr.Unmap(), listener.Addr().(*net.TCPAddr).AddrPort().Port())
	p.Advertise.Store(&at)
	p.parts, p.states = hub.Check{Name: "parts", Told: true, Check: g.Check}, g.States
	if p.kubeletCA, err = cfg.API.Kubelets(); err != nil {
		return nil, flag.Usage{Err: err}
	}
	if p.audit, err = openAudit(cfg, log.With("component", "audit")); err != nil {
		return nil, flag.Usage{Err: err}
	}
	if p.tunnels, err = p.openTunnels(g); err != nil {
		return nil, err
	}
	return p, nil
}

// openAudit is what the flags say of the audit log, or else a compact one in the data directory.
func openAudit(cfg suite.Config, log *slog.Logger) (*audit.Log, error) {
	api := *cfg.API
	if api.Audit.Log.Path == "" {
		to := &api.Audit.Log
		to.Path, to.MaxSize, to.MaxBackups, to.Compress, to.Gather = filepath.Join(cfg.DataDir, "audit.log"), auditSize, 16, true, true
	}
	return api.AuditTo(log)
}

// auditSize is how many megabytes of the audit log are not compressed. A sixteenth of that is what they take afterwards.
const auditSize = 16

// Start opens the state and starts the API server on listener; it is ready when Start returns.
func (p *Plane) Start(g *daemon.Group, listener net.Listener, show *steps.Steps) error {
	// Most of what a start allocates stays, and the rest is soon garbage: to look for it at every doubling of the heap would be
	// a quarter of the work of reading a large state.
	defer debug.SetGCPercent(debug.SetGCPercent(startGC))
	if err := p.start(g, listener, show); err != nil {
		return err
	}
	g.Go("keys", p.Pki.Run)
	return p.Pki.EnsureKubeconfig(p.cfg.Paths().Kubeconfig, pki.SuperAdmin, p.LocalURL(), machine.ContextName(p.cfg.Config))
}

// start runs the hub as a part of g and returns when it is ready. The first hub takes listener; one that follows it takes
// the port again.
func (p *Plane) start(g *daemon.Group, listener net.Listener, show *steps.Steps) error {
	since := time.Now()
	opened, ready := make(chan string, 1), make(chan struct{}, 1)
	g.Go("hub", func(ctx context.Context) error {
		l := listener
		if listener = nil; l == nil {
			var err error
			if l, err = OpenListener(p.cfg.Config); err != nil {
				return err
			}
		}
		return p.run(ctx, l, opened, ready)
	})
	select {
	case detail := <-opened: // takes as long as it takes: a large log may have to be read
		show.Done("store", since, detail)
	case <-g.Context().Done():
		return context.Cause(g.Context())
	}
	since = time.Now()
	if err := daemon.Within(g, 60*time.Second, ready, "API server"); err != nil {
		if h := p.hub.Load(); h != nil && g.Context().Err() == nil {
			err = fmt.Errorf("%w: %w", err, h.Unready(g.Context()))
		}
		return err
	}
	show.Done("API server", since, "https://"+p.Advertise.Load().String())
	return nil
}

// run opens the store and serves until ctx ends or either fails. It closes the listener.
func (p *Plane) run(ctx context.Context, l net.Listener, opened chan<- string, ready chan<- struct{}) error {
	defer l.Close()
	st, err := openState(ctx, p.cfg, p.kinds, p.Pki, p.log)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	// The store outlives every reader and writer of it.
	defer st.close(p.log)
	tell(opened, st.detail)
	cfg, err := p.hubConfig(st, l)
	if err != nil {
		return err
	}
	h, err := hub.New(cfg)
	if err != nil {
		return err
	}
	p.hub.Store(h)
	defer p.hub.Store(nil)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with the hub
		select {
		case <-h.Ready():
			tell(ready, struct{}{})
		case <-serving.Done():
		}
	}()
	return h.Run(ctx)
}

// tell sends what somebody waits for the first time only.
func tell[T any](ch chan<- T, v T) {
	select {
	case ch <- v:
	default:
	}
}

// openKeys opens the certificate store; the API server's certificate names every address that it may be reached at.
func openKeys(cfg config.Config, paths config.Paths, advertise net.IP, log *slog.Logger) (*pki.Store, error) {
	node, err := cfg.Node()
	if err != nil {
		return nil, err
	}
	names, ips := apiNames(cfg, advertise)
	return pki.Open(pki.Config{
		Dir:           paths.PKI,
		NodeName:      node,
		ClusterDomain: cfg.ClusterDomain,
		ServiceIPs:    []net.IP{cfg.FirstServiceIP().AsSlice()},
		Names:         names,
		IPs:           ips,
		Log:           log.With("component", "pki"),
	})
}
