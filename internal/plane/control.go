package plane

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"

	"sampan.dev/internal/api"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/control"
	"sampan.dev/internal/control/identity"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine"

	"github.com/prometheus/client_golang/prometheus"
)

// StartControl starts the controllers and the scheduler, each with the identity that upstream's have.
func (p *Plane) StartControl(g *daemon.Group) error {
	cfg, err := p.cfg.Controllers.Manager(p.log)
	if err != nil {
		return flag.Usage{Err: err}
	}
	cfg.Doors, cfg.Kinds, cfg.RootCA = p.Door, p.kinds, p.Pki.CA.PEM()
	cfg.Signer.Authority, cfg.Signer.Kubelets, cfg.TokenKey = p.Pki.CA, p.Pki.KubeletCA, p.Pki.SAKey
	p.serving(&cfg.Serving)
	cfg.LocalPath = !p.cfg.NoLocalStorage
	p.cfg.Cloud.APIPort = p.Advertise.Load().Port()
	if cfg.Cloud, err = p.cfg.Cloud.Loops(p.log); err != nil {
		return flag.Usage{Err: fmt.Errorf("--cloud: %w", err)}
	}
	manager, err := control.New(cfg)
	if err != nil {
		return flag.Usage{Err: err}
	}
	p.manager.Store(manager)
	if manager.Any() {
		g.Go("controllers", p.leading(api.UserControllers, "kube-controller-manager", manager.Run))
	}
	if !p.cfg.NoScheduler {
		door := p.Door(api.User{Name: api.UserScheduler, Groups: []string{api.GroupAuthenticated}}, "kube-scheduler/"+config.Version)
		g.Go("scheduler", p.leading(api.UserScheduler, "kube-scheduler", func(ctx context.Context) error {
			return p.cfg.Scheduler.Schedule(ctx, door, p.log.With("component", "scheduler"), nil)
		}))
	}
	return nil
}

// serving adds to what no kubelet's certificate may name what this cluster is called, and what the node of this machine may.
func (p *Plane) serving(s *identity.ServingPolicy) {
	s.Hub, s.Domain = func() *x509.Certificate { return p.Pki.APIServer.Certificate().Leaf }, p.cfg.ClusterDomain
	if !p.cfg.NoNode {
		s.Local, _ = p.cfg.Node() // checked when the keys were opened
		s.LocalIPs, s.Beside = func() []net.IP { return machine.NodeAddresses(p.cfg.Config) }, p.cfg.Separate
	}
}

// collectors are the metrics of the controllers, as soon as they run.
type collectors struct{ *Plane }

// Describe implements prometheus.Collector: what there is depends on the controllers that run.
func (collectors) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collectors) Collect(ch chan<- prometheus.Metric) {
	if m := c.manager.Load(); m != nil {
		m.Collect(ch)
	}
}
