package cluster

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine/hold"
	"sampan.dev/internal/machine/node"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/node/credential"
	"sampan.dev/internal/pki"
	"sampan.dev/internal/plane"

	corev1 "k8s.io/api/core/v1"
)

// apart is the node of a cluster with --separate as its control plane sees it: a process under a keeper of its own, which stays when this
// one ends, and is found again by the next.
type apart struct {
	name  string
	since time.Time // what the node says of itself counts from here on
}

// nodeApart has the node's process run, with a client certificate as kubeadm makes one, and returns at once.
func nodeApart(g *daemon.Group, cfg suite.Config, beside hold.Beside, p *plane.Plane) (*apart, error) {
	name, err := cfg.Node()
	if err != nil {
		return nil, err
	}
	id := credential.Client(cfg.Paths().KubeletRoot, name, nil, nil)
	if err := p.Pki.EnsureClient(id.File, pki.KubeletIdentity(name)); err != nil {
		return nil, err
	}
	a := &apart{name: name}
	if !beside.Runs() {
		a.since = time.Now()
	}
	g.Go("node process", beside.Run)
	return a, nil
}

// ready waits until the node is Ready.
func (a *apart) ready(g *daemon.Group, cfg suite.Config, p *plane.Plane, show *steps.Steps, log *slog.Logger) error {
	if !cfg.Kubelet.Register {
		return nil // somebody makes the Node object when they see fit
	}
	since := time.Now()
	set := cache.NewSet(p.Door(api.User{Name: api.UserAPIServer, Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "sampan"), log)
	nodes := cache.For[*corev1.Node](set, client.Nodes, cache.Options{FieldSelector: "metadata.name=" + a.name})
	ready := node.WhenReady(nodes, a.name, a.since)
	ctx, stop := context.WithCancel(g.Context())
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	defer func() { stop(); <-ended }()
	mute, err := ready.Within(g, 120*time.Second, p.Writable)
	if err != nil {
		return err
	}
	show.Done("node", since, node.State(a.name, mute)+", in a process of its own; its log is "+cfg.Paths().Apart().Log)
	return nil
}

// RunNode runs the node of a cluster whose control plane is another process of the same data directory, until ctx ends, and calls ready
// once the node is.
func RunNode(ctx context.Context, cfg suite.Config, log *slog.Logger, ready func()) error {
	paths := cfg.Paths().Apart()
	cfg.Server = "https://" + plane.LocalAddress(cfg.Listen)
	if cfg.NodeTunnel != "" {
		cfg.Tunnel, cfg.TunnelServers = true, []string{plane.LocalAddress(cfg.TunnelAt())}
	}
	return runNode(ctx, cfg, paths, log, ready, func() (join, error) {
		authority, err := os.ReadFile(filepath.Join(paths.PKI, "ca.crt"))
		return func(g *daemon.Group, cfg config.Config) (*node.Seat, error) {
			return node.RemoteSeat(g, cfg, paths, authority, "", log)
		}, err
	})
}
