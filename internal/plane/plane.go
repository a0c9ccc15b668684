package plane

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/lease"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/pki"
)

// Plane is the running control plane, as far as the other parts of the process need it. Its hub and the store below may fail
// and be made anew; those who talk to it hold doors, which lead to the one that is there.
type Plane struct {
	cfg       config.Config
	kinds     *api.Kinds
	Pki       *pki.Store
	log       *slog.Logger
	Advertise atomic.Pointer[netip.AddrPort] // where it is reached
	moved     chan netip.AddrPort            // the same, when that changes
	parts     hub.Check                      // how the other parts of the process are
	leases    lease.Audience
	audit     audit.Sink // nil: nothing is recorded
	Kubelet   localKubelet

	kubeletCA     *x509.CertPool // nil: the cluster's own
	trustKubelets bool           // without verifying their certificates

	hub atomic.Pointer[hub.Hub] // nil while there is none
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
			if l, err = OpenListener(p.cfg); err != nil {
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
	h, err := hub.New(p.hubConfig(st, l))
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
