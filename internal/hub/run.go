package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/bootstrap"
	"sampan.dev/internal/hub/listener"
	"sampan.dev/internal/hub/store"

	"golang.org/x/sync/errgroup"
)

// Run feeds the caches, writes what a cluster has before anyone has written, and serves until ctx ends. The server stops
// first: requests that are under way still find their caches fed.
func (h *Hub) Run(ctx context.Context) error {
	parts, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer h.stop()
	if e := h.cfg.Encryption; e != nil && !e.Idle() {
		e.Prime(parts)
	}
	g, parts := errgroup.WithContext(parts)
	g.Go(func() error { return h.ended(parts, "watch caches", h.catalog.Run(parts)) })
	g.Go(func() error { return h.ended(parts, "informers", h.set.Run(parts)) })
	if h.others != nil {
		g.Go(func() error { return h.ended(parts, "aggregation", h.others.Run(parts)) })
	}
	if h.custom != nil {
		g.Go(func() error { return h.ended(parts, "custom resources", h.custom.Run(parts)) })
	}
	keeping, leave := context.WithCancel(parts)
	defer leave()
	left := make(chan struct{})
	g.Go(func() error {
		defer close(left)
		return h.start(keeping)
	})
	if e := h.cfg.Encryption; e != nil && !e.Idle() {
		g.Go(func() error { return h.ended(parts, "encryption", e.Run(parts)) })
	}
	if j := h.guard.others; j != nil {
		g.Go(func() error { return h.ended(parts, "authentication config", j.Run(parts)) })
	}
	if z := h.guard.chain; z != nil && z.Follows() {
		g.Go(func() error { return h.ended(parts, "authorization config", z.Run(parts, h.log)) })
	}
	if o := h.outside; o != nil {
		for _, f := range o.files {
			g.Go(func() error { return h.ended(parts, "admission manifests", f.Follow(parts, o.reread)) })
		}
	}
	g.Go(func() error { return h.repairAddresses(parts) })
	for _, st := range h.cfg.stores() {
		g.Go(func() error {
			return h.ended(parts, "compaction", store.CompactEvery(parts, st, store.KeepHistory, func(rev int64) { h.forget(st, rev) }, h.log))
		})
	}
	g.Go(func() error {
		defer end()
		defer func() { // what a server that ends says to others is written while the caches are still fed
			leave()
			<-left
		}()
		serving, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(parts, stop)()
		if h.cfg.Listener != nil {
			return h.listen(serving, h.cfg.Listener, h.cfg.TLS)
		}
		<-serving.Done()
		return nil
	})
	err := g.Wait()
	end()
	if h.outside != nil {
		h.outside.checker.Wait()
	}
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}

// forget has the caches over a store show nothing from before a revision, where its history begins.
func (h *Hub) forget(st store.Store, before int64) {
	for _, c := range h.catalog.Running() {
		if h.cfg.below(c.Kind()) == st {
			c.ForgetBefore(before)
		}
	}
}

// ended makes an error of a part that returned before it was told to.
func (h *Hub) ended(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		return fmt.Errorf("hub: %s ended by itself", what)
	}
	return fmt.Errorf("hub: %s: %w", what, err)
}

// start waits for everything to be loaded, writes the system's objects, tells Ready and then keeps them.
func (h *Hub) start(ctx context.Context) error {
	for _, c := range h.catalog.Running() {
		select {
		case <-c.Ready():
		case <-ctx.Done():
			return nil
		}
	}
	h.checks.Caches.Pass()
	if err := h.set.WaitSynced(ctx); err != nil {
		return h.ended(ctx, "informers", err)
	}
	h.checks.Informers.Pass()
	var behind sync.WaitGroup
	defer behind.Wait()
	if h.cfg.Bootstrap {
		err := bootstrap.Ensure(ctx, h.own, h.bootstrapConfig())
		switch {
		case err == nil:
		case h.Writable() != nil && bootstrap.Done(ctx, h.own):
			// What there is can be read, and deleted, which may be just what gives room.
			h.log.Error("the system's objects cannot be written; what an earlier start wrote is served, and they follow when the store takes values", "error", err)
			behind.Go(func() { h.followUp(ctx) })
		default:
			return h.ended(ctx, "bootstrap", err)
		}
	}
	if h.cfg.Authorizer == nil {
		// Else the first requests of components may be refused, and they wait for seconds before they ask again.
		if err := authz.WaitTold(ctx, h.set, h.own); err != nil {
			return h.ended(ctx, "authorization", err)
		}
	}
	if h.custom != nil {
		select {
		case <-h.custom.Loaded():
		case <-ctx.Done():
			return nil
		}
	}
	h.checks.Bootstrap.Pass()
	close(h.ready)
	if h.outside != nil {
		h.outside.checker.Begin(ctx)
	}
	h.log.Info("hub is ready", "kinds", len(h.catalog.Now().Kinds().All()))
	if !h.cfg.Bootstrap {
		return nil
	}
	return h.ended(ctx, "bootstrap", bootstrap.Run(ctx, h.own, h.bootstrapConfig(), h.log))
}

// Writable tells why the store takes no values for now; nil when it does.
func (h *Hub) Writable() error { return store.Writable(h.cfg.Store) }

// followUp writes the system's objects as soon as the store takes them.
func (h *Hub) followUp(ctx context.Context) {
	pace := time.NewTicker(followUpEvery)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		if h.Writable() != nil {
			continue
		}
		err := bootstrap.Ensure(ctx, h.own, h.bootstrapConfig())
		if err == nil {
			h.log.Info("the system's objects are written")
			return
		}
		h.log.Debug("write the system's objects", "error", err)
	}
}

// followUpEvery is how often a store that took no values at the start is looked at.
const followUpEvery = 2 * time.Second

func (h *Hub) bootstrapConfig() bootstrap.Config {
	c := &h.cfg
	var masters *bootstrap.Masters
	if c.Shared {
		masters = &bootstrap.Masters{Store: c.Store}
	}
	return bootstrap.Config{
		Served: h.catalog.Now().Kinds(), Masters: masters, Identity: h.who, Other: h.flowDue, DoOther: h.tellFlow,
		Advertise: c.Advertise, Moved: c.Moved, ServiceCIDR: c.ServiceCIDR, DNS: c.DNS,
		ClientCA: c.ClientCAPEM, FrontProxyCA: c.FrontCAPEM, FrontProxyNames: c.FrontProxyNames, ServerCA: c.ServerCAPEM,
	}
}

// listen serves HTTPS on l until ctx ends.
func (h *Hub) listen(ctx context.Context, l net.Listener, conf *tls.Config) error {
	return listener.Serve(ctx, listener.Config{
		Listener: l, TLS: conf, Handler: h.rest, Log: h.log,
		Ending: func() {
			h.checks.Shutdown.Fail(errors.New("process is shutting down"))
			h.stop()
		},
	})
}
