package plane

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/record"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/control"
	"sampan.dev/internal/control/identity"
	"sampan.dev/internal/control/nodes"
	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine"
)

// controllers is the selection of --controllers.
func controllers(cfg config.Config) []string { return strings.Split(cfg.Controllers, ",") }

// servingPolicy is what no kubelet's certificate names, and what the one in this process may.
func servingPolicy(cfg config.Config, p *Plane) identity.ServingPolicy {
	s := identity.ServingPolicy{
		Hub:    func() *x509.Certificate { return p.Pki.APIServer.Certificate().Leaf },
		Domain: cfg.ClusterDomain,
		Never:  []netip.Prefix{netip.MustParsePrefix(cfg.ServiceCIDR), netip.MustParsePrefix(cfg.ClusterCIDR)},
	}
	if !cfg.NoNode {
		s.Local, _ = cfg.Node() // checked when the keys were opened
		s.LocalIPs = func() []net.IP { return machine.NodeAddresses(cfg) }
	}
	return s
}

// StartControl starts the controllers and the scheduler, each with the identity that upstream's have.
func StartControl(g *daemon.Group, cfg config.Config, p *Plane, log *slog.Logger) error {
	manager, err := control.New(control.Config{
		Doors:         p.Door,
		Kinds:         p.kinds,
		Log:           log,
		Controllers:   controllers(cfg),
		NodeIPAM:      nodes.IPAMConfig{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix(cfg.ClusterCIDR)}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix(cfg.ServiceCIDR)}},
		Signer:        identity.SignerConfig{Authority: p.Pki.CA, Kubelets: p.Pki.KubeletCA},
		Serving:       servingPolicy(cfg, p),
		RootCA:        p.Pki.CA.PEM(),
		NodeLifecycle: nodes.LifecycleConfig{MonitorGrace: cfg.NodeMonitorGracePeriod},
	})
	if err != nil {
		return flag.Usage{Err: err}
	}
	if manager.Any() {
		g.Go("controllers", leading(p, api.UserControllers, "kube-controller-manager", manager.Run))
	}
	if cfg.Scheduler {
		g.Go("scheduler", leading(p, api.UserScheduler, "kube-scheduler", func(ctx context.Context) error { return runScheduler(ctx, cfg, p) }))
	}
	return nil
}

// runScheduler makes a scheduler, with a view of the cluster that it has for as long as it leads, and runs it until ctx ends.
func runScheduler(ctx context.Context, cfg config.Config, p *Plane) error {
	door := p.Door(api.User{Name: api.UserScheduler, Groups: []string{api.GroupAuthenticated}}, "kube-scheduler/"+config.Version)
	log := p.log.With("component", "scheduler")
	set := cache.NewSet(door, log)
	host, _ := cfg.Node() // checked when the keys were opened
	events := record.NewSeries(door, "default-scheduler", host, log)
	s := scheduler.New(scheduler.Config{Door: door, Informers: set, Events: events, Log: log})
	return component.Beside(ctx, s.Run, set.Run, events.Run)
}
