package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine/further"
	"sampan.dev/internal/machine/node"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/plane"

	corev1 "k8s.io/api/core/v1"
)

// startFurtherNodes starts the nodes beyond the first, whose proxies work as proxyMode says, and waits until they are Ready.
func startFurtherNodes(g *daemon.Group, cfg config.Config, proxyMode string, p *plane.Plane, show *steps.Steps, log *slog.Logger) error {
	if cfg.Nodes < 2 {
		return nil
	}
	since := time.Now()
	first, err := cfg.Node()
	if err != nil {
		return err
	}
	admin := p.Door(api.User{Name: api.UserAPIServer, Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "sampan")
	token, err := CreateToken(g.Context(), admin, time.Hour)
	if err != nil {
		return fmt.Errorf("token for further nodes: %w", err)
	}
	set := cache.NewSet(admin, log)
	informer := cache.For[*corev1.Node](set, client.Nodes, cache.Options{})
	var waits []*node.Readiness
	for i := 2; i <= cfg.Nodes; i++ {
		n := further.Node{Parent: cfg, Index: i}
		if err := n.Prepare(); err != nil {
			return fmt.Errorf("namespace of node %d: %w", i, err)
		}
		name := fmt.Sprintf("%s-%d", first, i)
		waits = append(waits, node.WhenReady(informer, name, since))
		args := []string{
			"--hostname-override", name,
			"--server", fmt.Sprintf("https://%s", netip.AddrPortFrom(further.NodeAddr(cfg, 1), p.Advertise.Load().Port())),
			"--cluster-cidr", cfg.ClusterCIDR, "--service-cidr", cfg.ServiceCIDR, "--cluster-domain", cfg.ClusterDomain,
			"--log-level", cfg.LogLevel,
			"--proxy-mode", proxyMode,
			fmt.Sprintf("--fast-failover=%t", cfg.FastFailover),
		}
		g.Go(name, func(ctx context.Context) error {
			return n.Run(ctx, args, JoinToken{p.Pki.CA.Hash(), token}.String(), log)
		})
	}
	g.Go("further nodes", set.Run)
	for i, ready := range waits {
		if _, err := ready.Within(g, 120*time.Second, p.Writable); err != nil {
			return fmt.Errorf("%w; its log is %s", err, further.Node{Parent: cfg, Index: i + 2}.Paths().Log)
		}
	}
	show.Done("further nodes", since, fmt.Sprintf("%d more are Ready", cfg.Nodes-1))
	return nil
}
