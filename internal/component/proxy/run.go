package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/component"
	"sampan.dev/internal/config"
	"sampan.dev/internal/node/proxy"
	"sampan.dev/internal/node/proxy/userspace"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

const name = "kube-proxy"

// View is what a proxy reads of the cluster. The parts of a node share one.
type View struct {
	Nodes    *cache.Informer[*corev1.Node]
	Services *cache.Informer[*corev1.Service]
	Slices   *cache.Informer[*discoveryv1.EndpointSlice]
}

// Proxy makes the node's proxy; it does nothing until it is run.
func (c *Config) Proxy(view View, log *slog.Logger) *proxy.Proxy {
	cfg := proxy.Config{NodeName: c.NodeName, Services: view.Services, Slices: view.Slices, Nodes: view.Nodes, Log: log}
	var v4, v6 []netip.Prefix
	for _, p := range c.ClusterCIDR {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	cfg.V4, cfg.V6 = c.appliers(v4, v6, log)
	return proxy.New(cfg)
}

// Run keeps the rules until ctx ends.
func (c *Config) Run(ctx context.Context, log *slog.Logger) error {
	if c.Cleanup {
		return Cleanup(c.Instance)
	}
	if c.NodeName == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("host name: %w", err)
		}
		c.NodeName = host
	}
	c.NodeName = strings.ToLower(strings.TrimSpace(c.NodeName))
	rc, err := c.Contact.Config(name)
	if err != nil {
		return err
	}
	door, err := remote.New(rc)
	if err != nil {
		return err
	}
	log.Info("proxy starts", "version", config.Version, "server", rc.Host, "node", c.NodeName)
	set := cache.NewSet(door, log)
	events := newEvents(door, c.NodeName, log)
	c.Tell = events.tell
	p := c.Proxy(View{
		Nodes:    cache.For[*corev1.Node](set, client.Nodes, cache.Options{FieldSelector: "metadata.name=" + c.NodeName}),
		Services: cache.For[*corev1.Service](set, client.Services, cache.Options{LabelSelector: "!service.kubernetes.io/service-proxy-name"}),
		Slices:   cache.For[*discoveryv1.EndpointSlice](set, client.EndpointSlices, cache.Options{LabelSelector: "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"}),
	}, log)
	health := c.Health
	if host, port, err := net.SplitHostPort(health); err == nil && host == "0.0.0.0" && !c.Bind.IsUnspecified() {
		health = net.JoinHostPort(c.Bind.String(), port)
	}
	loops := []func(context.Context) error{set.Run,
		func(ctx context.Context) error { return c.serve(ctx, health, p.HealthHandler(), log) },
		func(ctx context.Context) error { return c.serve(ctx, c.Metrics, c.Face(p.MetricsHandler()), log) }}
	if p.Mode() == userspace.Mode { // nftables has nothing to tell
		loops = append(loops, events.run)
	}
	return component.Beside(ctx, p.Run, loops...)
}

// serve answers on an address, "" for none. Where it cannot be had the proxy goes on without, unless it is to fail hard.
func (c *Config) serve(ctx context.Context, address string, h http.Handler, log *slog.Logger) error {
	if address == "" {
		<-ctx.Done()
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		if c.HardFail {
			return fmt.Errorf("failed to start: %w", err)
		}
		log.Warn("not served", "address", address, "error", err)
		<-ctx.Done()
		return nil
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
