package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/hold"
	"sampan.dev/internal/machine/node"
	"sampan.dev/internal/machine/parts"
	"sampan.dev/internal/machine/site"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/machine/supervisor"
	"sampan.dev/internal/memlimit"
	"sampan.dev/internal/pki"
	"sampan.dev/internal/plane"
)

// RunAgent runs a node of a cluster elsewhere until ctx ends.
func RunAgent(ctx context.Context, cfg suite.Config, log *slog.Logger) error {
	paths := cfg.Paths()
	supervisor.Begin()
	return runNode(ctx, cfg, paths, log, func() { supervisor.Ready(ctx) }, func() (join, error) {
		if cfg.Kubeconfig != "" {
			name, err := cfg.Node()
			if err != nil {
				return nil, err
			}
			s, err := node.KubeconfigSeat(cfg.Kubeconfig, name, log)
			return func(*daemon.Group, config.Config) (*node.Seat, error) { return s, nil }, err
		}
		authority, token, err := believe(ctx, cfg.Config, paths)
		return func(g *daemon.Group, cfg config.Config) (*node.Seat, error) {
			return node.RemoteSeat(g, cfg, paths, authority, token, log)
		}, err
	})
}

// join gives a node its place in a cluster.
type join func(g *daemon.Group, cfg config.Config) (*node.Seat, error)

// runNode runs a node that reaches its API server over the network, until ctx ends, and calls ready once the node is. trust finds
// out whom to believe, and is called before anything is made but the claim.
func runNode(ctx context.Context, cfg suite.Config, paths config.Paths, log *slog.Logger, ready func(), trust func() (join, error)) error {
	claim, err := hold.Claim(paths)
	if err != nil {
		return err
	}
	defer claim.Release()
	take, err := trust()
	if err != nil {
		return err
	}
	if err := errors.Join(machine.KeepNodeName(&cfg.Config, log), machine.TellRanges(cfg.Config), site.Keep(&cfg.Config)); err != nil {
		return err
	}
	memlimit.Apply()
	g := daemon.NewGroup(ctx, log)
	parts.Tell(g, cfg.Config, paths)
	show := steps.New(os.Stderr)
	defer show.End()
	m := node.Start(g, cfg, paths, log)
	s, err := take(g, cfg.Config)
	if err == nil {
		err = m.StartNode(g, s, show)
	}
	if err != nil {
		return stopped(g, err)
	}
	plane.FollowHost(g, m.Follow()...)
	show.End()
	g.Settle()
	log.Info("node is ready")
	ready()
	calmDown()
	return g.Wait()
}

// believe returns the cluster's authority: the one kept from joining, or the one that the token pins.
func believe(ctx context.Context, cfg config.Config, paths config.Paths) (authority []byte, token string, err error) {
	file := filepath.Join(paths.PKI, "ca.crt")
	if authority, err = os.ReadFile(file); err == nil && cfg.Token == "" {
		return authority, "", nil
	}
	if cfg.Server == "" || cfg.Token == "" {
		return nil, "", flag.Usage{Err: errors.New("--server and --token (or --token-file) are needed to join a cluster")}
	}
	join, err := ParseJoinToken(cfg.Token)
	if err != nil {
		return nil, "", flag.Usage{Err: fmt.Errorf("--token: %w", err)}
	}
	if authority, err = node.FetchAuthority(ctx, cfg.Server, join.Hash); err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(paths.PKI, 0o700); err != nil {
		return nil, "", err
	}
	return authority, join.Token.String(), pki.WriteFile(file, authority, 0o644)
}
